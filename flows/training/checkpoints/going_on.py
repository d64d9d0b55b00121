"""From where an attempt goes on, and what that costs, told where people look."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from blocks.records import checkpoints
from blocks.records.tables import Attempt
from blocks.records.transitions import note
from flows.markdown import duration


def go_on(
    session: Session, attempt: Attempt, path: str, *, is_verified: bool = True, differs: Sequence[str] = ()
) -> None:
    """Note from which checkpoint an attempt goes on.

    Args:
        session: that writes.
        attempt: the one that begins.
        path: of the checkpoint; empty where it starts from the beginning.
        is_verified: whether it carries our manifest.
        differs: what the checkpoint was made from that is different now, in words.
    """
    if attempt.seconds_lost is not None and attempt.resumed_from == path:
        return  # told already: the answer was lost
    made = checkpoints.resumed(attempt, path)
    if made is not None:
        maker = next(row for row in attempt.training.attempts if row.id == made.attempt_id)
        from_where = f"goes on from checkpoint {made.number} of attempt {maker.number}"
    elif path:
        unverified = "" if is_verified else ", unverified: it carries no manifest of ours"
        from_where = f"goes on from the checkpoint {path}{unverified}"
    else:
        from_where = "starts from the beginning: there is no checkpoint that is whole"
    lost = attempt.seconds_lost or 0.0
    after = " after it" if made is not None else ""
    cost = f"; it costs {duration(lost)} of training{after}" if attempt.number > 1 else ""
    note(session, attempt.training, f"Attempt {attempt.number} {from_where}{cost}.")
    if differs:
        note(session, attempt.training, f"Warning: {path} was made under other conditions: {'; '.join(differs)}.")
