"""What may be changed of an experiment or a training."""

import pytest

from flows.change import Change, asked, parse_change
from flows.faults import Refused


def test_a_change_leaves_what_is_not_given():
    """None is "as it was", the empty text and no tags are changes."""
    assert parse_change({"description": ""}) == Change(description="", tags=None)
    assert parse_change({"tags": {}}).tags == {}


def test_a_name_cannot_be_changed():
    """A change knows description and tags alone."""
    with pytest.raises(Refused, match="no such field"):
        parse_change({"name": "other"})


def test_a_blank_form_wipes_nothing():
    """It is refused, and says how to empty what should be empty."""
    with pytest.raises(Refused, match="turn on change_description"):
        parse_change(asked("", {}, change_description=False, change_tags=False))


@pytest.mark.parametrize(
    ("description", "tags", "flags", "wanted"),
    [
        ("new", {}, (False, False), {"description": "new"}),
        ("", {"a": "1"}, (False, False), {"tags": {"a": "1"}}),
        ("", {}, (True, False), {"description": ""}),
        ("new", {}, (False, True), {"description": "new", "tags": {}}),
    ],
)
def test_what_is_filled_in_changes(description: str, tags: dict[str, str], flags: tuple[bool, bool], wanted: object):
    """And what is empty only where its switch is on."""
    assert asked(description, tags, change_description=flags[0], change_tags=flags[1]) == wanted
