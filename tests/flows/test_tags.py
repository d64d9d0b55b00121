"""Tags."""

import pytest
from pydantic import TypeAdapter, ValidationError

from flows.tags import Tags, tag_faults

TAGS = TypeAdapter[dict[str, str]](Tags)


def test_ten_tags_are_taken():
    """Ten tags with keys of 128 and values of 255 characters, Korean too; numbers are written out."""
    tags = {f"{n}" + "가" * 127: "값" * 255 for n in range(9)} | {"year": 2026}
    assert TAGS.validate_python(tags) == tags | {"year": "2026"}


@pytest.mark.parametrize(
    "tags",
    [
        {str(n): "" for n in range(11)},
        {"": "x"},
        {"k" * 129: "x"},
        {"k": "v" * 256},
        {"k\n": "v"},
        {" k": "v"},
        {"k": "a\x07"},
        {"k": None},
        {3: "v"},
        ["k=v"],
        {"\u00e9": "1", "e\u0301": "2"},
    ],
)
def test_tags_that_are_refused(tags: object):
    """Too many, too long, empty, control characters, no text, and two names that are one letter for letter."""
    with pytest.raises(ValidationError):
        TAGS.validate_python(tags)


def test_their_number_is_told_whatever_else_is_wrong():
    """Eleven tags of which one is bad: both are told."""
    assert [str(fault) for fault in tag_faults({str(n): None for n in range(11)})] == [
        "tags: has 11 entries. Give at most 10."
    ]
    assert tag_faults("no tags at all") == []
