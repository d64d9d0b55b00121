"""Words as `key=value`: what they say, and what is told of those that say nothing."""

import pytest

from blocks.errors import Temporary
from flows.cli.pairs import read, refusal
from flows.faults import Fault, Refused

FAULT = Fault("hp", "epochs", "has no =", "Write key=value.")


@pytest.mark.parametrize(
    ("texts", "found", "problems"),
    [
        (["a=1", "b="], {"a": "1", "b": ""}, []),
        (["a=b=c"], {"a": "b=c"}, []),
        (["=3"], {"": "3"}, []),
        (["a", "b=2"], {"b": "2"}, ["has no ="]),
        (["a=1", "a=2", "c"], {"a": "2", "c": None}, ["'a' is given twice", "has no ="]),
    ],
)
def test_every_word_is_read_or_told(texts: list[str], found: dict[str, str | None], problems: list[str]):
    """What can be read is, beside what cannot; the check knows which keys are none."""
    pairs, faults = read(texts, "hp")
    assert pairs == {key: value for key, value in found.items() if value is not None}
    assert [fault.problem for fault in faults] == problems


def test_a_refusal_says_what_the_check_says_as_well():
    """The words first; where all else is right they stand alone, and what kept the check from an answer is told."""
    other = Fault("name", "", "is missing", "Give it.")

    def raising(error: Exception) -> None:
        raise error

    assert refusal([FAULT], lambda: None).faults == [FAULT]
    assert refusal([FAULT], lambda: raising(Refused([other]))).faults == [FAULT, other]
    told = str(refusal([FAULT], lambda: raising(Temporary("The records do not answer."))))
    assert "2. the rest: cannot be checked: The records do not answer." in told
