"""A training in the terminal: each thing is told whole once."""

import pytest

from flows.cli.training_page import BRIEF, brief

LONG = "The script ended with exit code 3. " * 4


@pytest.mark.parametrize(
    ("text", "told", "shown"),
    [
        (LONG, [LONG], f"{LONG[:BRIEF]}…"),
        (f"Attempt 1 ended: {LONG}", ["", LONG], f"{f'Attempt 1 ended: {LONG}'[:BRIEF]}…"),
        (LONG, [f"{LONG} It ended so before."], f"{LONG[:BRIEF]}…"),
        (LONG, [], LONG),
        (LONG, ["", "The script"], LONG),
        ("it was stopped", ["it was stopped", LONG], "it was stopped"),
        ("", [LONG], ""),
    ],
)
def test_what_stands_above_is_not_told_whole_again(text: str, told: list[str], shown: str):
    """Its beginning is; what was not told yet is told whole, as long as it may be."""
    assert brief(text, told) == shown
