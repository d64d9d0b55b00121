"""What trainings that survive need: how long each attempt ran, from where it went on, and what was repaired."""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; what there is keeps its meaning."""
    # Defaults are plain: with `sa.false()` SQLite's table would be made anew, and others refer to it.
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("commits", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("ran_seconds", sa.Float(), nullable=True))
        table.add_column(sa.Column("resumed_from", sa.String(length=512), nullable=False, server_default=""))
        table.add_column(sa.Column("seconds_lost", sa.Float(), nullable=True))
        table.add_column(sa.Column("run_is_over", sa.Boolean(), nullable=False, server_default="0"))
    with op.batch_alter_table("checkpoints") as table:
        table.add_column(sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE checkpoints SET taken_at = committed_at")
    with op.batch_alter_table("checkpoints") as table:
        table.alter_column("taken_at", existing_type=sa.DateTime(timezone=True), nullable=False)
    newest = "SELECT coalesce(max(number), 0) FROM checkpoints WHERE checkpoints.attempt_id = attempts.id"
    op.execute(f"UPDATE attempts SET commits = ({newest})")
    op.create_table(
        "repairs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("training_id", sa.String(length=32), nullable=False),
        sa.Column("repair", sa.String(length=32), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("repairs") as table:
        table.create_index("ix_repairs_training_id", ["training_id"], unique=False)
    platform = op.create_table(
        "platform",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.CheckConstraint("number = 1"),
    )
    op.bulk_insert(platform, [{"number": 1, "id": f"pl-{token_hex(6)}"}])
