"""Where what a server lists lands on a disk."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.storage.errors import NoSpace, Unsafe
from blocks.storage.landing import make_room, plan
from blocks.storage.location import parse
from blocks.storage.store import Entry

PLACE = parse("obs://host/data/x")


def entry(key: str, size: int = 1) -> Entry:
    return Entry(key, size, None, datetime.now(UTC))


@pytest.mark.parametrize(
    "key",
    [
        "../up",
        "a/../../up",
        "/etc/passwd",
        "a//b",
        "./a",
        "a/.",
        "..",
        "",
        "a\x00b",
        "a\nb",
        "가" * 86,
        "a/" + "b" * 256,
    ],
)
def test_a_hostile_key_is_refused_by_name(key: str) -> None:
    """A key that leaves the folder, or that no file can have, ends the plan and is named."""
    with pytest.raises(Unsafe) as caught:
        plan(PLACE, [entry("fine"), entry(key)], Path("target"))
    assert repr(key) in str(caught.value)


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b/c", "a/b"), ("a", "a")])
def test_a_key_that_is_two_things_is_refused(keys: tuple[str, str]) -> None:
    """A file that is also a folder, and a file that comes twice, are refused."""
    with pytest.raises(Unsafe):
        plan(PLACE, [entry(key) for key in keys], Path("target"))


def test_an_empty_object_that_stands_for_a_folder_is_left_out() -> None:
    """Consoles make an empty object for a folder: it does not hinder the files in it."""
    landings = plan(PLACE, [entry("a", 0), entry("a-b"), entry("a/b"), entry("c", 0)], Path("target"))
    assert [landing.entry.key for landing in landings] == ["a-b", "a/b", "c"]


@given(st.lists(st.text(alphabet="a./\x00\\~", max_size=6), max_size=6))
def test_every_landing_is_below_the_folder(keys: list[str]) -> None:
    """Whatever is listed, a plan that is made keeps every target inside, and each only once."""
    folder = Path("/srv/target")
    try:
        landings = plan(PLACE, [entry(key) for key in keys], folder)
    except Unsafe:
        return
    targets = [Path(*landing.target.parts) for landing in landings]
    assert all(target.is_relative_to(folder) and ".." not in target.parts and target != folder for target in targets)
    assert len(set(targets)) == len(targets)


def test_more_than_the_disk_has_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    """The free space is looked at first; the message has both numbers."""
    landings = plan(PLACE, [entry("huge", 10**18)], tmp_path)
    with pytest.raises(NoSpace, match=str(10**18)):
        make_room(landings, tmp_path)


def test_a_link_that_waits_in_the_target_is_not_followed(tmp_path: Path) -> None:
    """A link inside the target folder does not lead a download out of it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unsafe):
        make_room(plan(PLACE, [entry("sub/file")], tmp_path / "target"), tmp_path / "target")
