"""How the platform's secrets are written."""

from pathlib import Path

import pytest

from blocks.secrets_file import BadSecrets, parse

FILE = Path("/srv/emf/secrets.env")


def test_names_and_values():
    """Spaces around both are nobody's; a value may hold any =; comments and empty lines say nothing."""
    assert parse("# ours\n\n A = a=b \n  # B=1\nC=\n", FILE) == {"A": "a=b", "C": ""}


@pytest.mark.parametrize("line", ["hunter2", "=hunter2", "two words=hunter2", "hunter2-x=1"])
def test_a_bad_line_is_told_by_number_alone(line: str):
    """A line that may hold a secret is not shown."""
    with pytest.raises(BadSecrets, match=r"secrets\.env, line 2 is not") as refusal:
        parse(f"A=1\n{line}\n", FILE)
    assert "hunter2" not in str(refusal.value)
