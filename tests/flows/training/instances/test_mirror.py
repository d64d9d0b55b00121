"""The mirror that TensorBoard reads."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.storage.errors import NoSpace
from flows.training.instances import mirror as mirroring
from flows.training.instances.mirror import COMPARED
from tests.flows.training.disks import full_disk
from tests.flows.training.folders import fill, give_away, texts


def mirror(source: Path, target: Path) -> int:
    """Mirror what can all be mirrored."""
    return mirroring.mirror(source, target, lambda name, reason: pytest.fail(f"{name} was left out: {reason}"))


def left_out(source: Path, target: Path) -> dict[str, str]:
    """Mirror and return what was left out, and why."""
    told: dict[str, str] = {}
    mirroring.mirror(source, target, told.__setitem__)
    return told


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "train").mkdir(parents=True)
    (tmp_path / "source" / "train" / "events").write_bytes(b"12345")
    return tmp_path / "source"


def test_what_is_new_is_appended(source: Path, tmp_path: Path):
    """The file that TensorBoard has open only grows: what it read stays what it was."""
    target = tmp_path / "target"
    assert mirror(source, target) == 5
    twin = target / "train" / "events"
    inode = twin.stat().st_ino
    with (source / "train" / "events").open("ab") as file:
        file.write(b"678")
    assert mirror(source, target) == 3
    assert (twin.read_bytes(), twin.stat().st_ino) == (b"12345678", inode)


def test_nothing_new_copies_nothing(source: Path, tmp_path: Path):
    """A look without change costs no byte."""
    mirror(source, tmp_path / "target")
    assert mirror(source, tmp_path / "target") == 0


def test_a_file_that_shrank_is_copied_anew(source: Path, tmp_path: Path):
    """A retry that starts its file again does not leave the old end behind."""
    mirror(source, tmp_path / "target")
    (source / "train" / "events").write_bytes(b"ab")
    assert mirror(source, tmp_path / "target") == 2
    assert (tmp_path / "target" / "train" / "events").read_bytes() == b"ab"


@pytest.mark.parametrize("way", ["written again", "put in its place"])
@pytest.mark.parametrize("data", [b"9876543210", b"98765"])
def test_a_file_that_was_replaced_is_copied_anew(source: Path, tmp_path: Path, data: bytes, way: str):
    """A longer one, or one of the same length, is never taken for the old one that grew."""
    mirror(source, tmp_path / "target")
    file = source / "train" / "events"
    if way == "put in its place":
        file.with_name("new").write_bytes(data)
        file.with_name("new").replace(file)
    else:
        file.write_bytes(data)
    os.utime(file, ns=(1, 1))  # however old it says that it is
    assert mirror(source, tmp_path / "target") == len(data)
    assert (tmp_path / "target" / "train" / "events").read_bytes() == data


@given(before=st.binary(max_size=COMPARED), after=st.binary(max_size=COMPARED))
def test_the_mirror_has_what_the_file_has(before: bytes, after: bytes, tmp_path_factory: pytest.TempPathFactory):
    """Whatever was there before: what is appended is what was appended."""
    root = tmp_path_factory.mktemp("mirror")
    (root / "source").mkdir()
    for time, data in enumerate((before, before + after, after + before)):
        (root / "source" / "events").write_bytes(data)
        os.utime(root / "source" / "events", ns=(time, time))
        mirror(root / "source", root / "target")
        assert (root / "target" / "events").read_bytes() == data


def test_links_are_not_followed(source: Path, tmp_path: Path):
    """A script cannot bring files of the platform into the mirror by a link."""
    (tmp_path / "secret").write_bytes(b"secret")
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to(tmp_path)
    mirror(source, tmp_path / "target")
    assert [file.name for file in (tmp_path / "target").rglob("*") if file.is_file()] == ["events"]


def test_an_empty_folder_makes_nothing(tmp_path: Path):
    """No file, no mirror."""
    (tmp_path / "source").mkdir()
    assert mirror(tmp_path / "source", tmp_path / "target") == 0
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("before", "after"), [("odd", "odd/events"), ("odd/events", "odd")])
def test_a_path_that_turned_is_left_out(tmp_path: Path, before: str, after: str):
    """A file that became a folder, or the other way round: it is named each time, and all others are mirrored."""
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source, {before: b"old"})
    mirror(source, target)
    shutil.rmtree(source)
    fill(source, {after: b"new", "a": b"1", "z/events": b"2"})
    for _ in range(2):
        assert list(left_out(source, target)) == [after]
        assert texts(target) == {before: "old", "a": "1", "z/events": "2"}


@pytest.mark.parametrize("odd", ["odd", "odd/events"])
def test_what_nobody_may_read_is_left_out(tmp_path: Path, unprivileged: Callable[[], None], odd: str):
    """A file or a whole folder: it is named, with what the system says, and all others are mirrored."""
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source, {odd: b"secret", "a": b"1", "z/events": b"2"})
    give_away(tmp_path)
    (source / "odd").chmod(0)
    unprivileged()
    told = left_out(source, target)
    assert list(told) == ["odd"]
    assert "Permission denied" in told["odd"]
    assert texts(target) == {"a": "1", "z/events": "2"}


def test_a_file_that_goes_meanwhile_is_none(tmp_path: Path):
    """After its folder was listed and before it is looked at: nobody needs to hear of that."""
    source, target, told = tmp_path / "source", tmp_path / "target", list[str]()
    fill(source, {"a": b"a file where the mirror has a folder", "b": b"goes", "c": b"1"})
    fill(target, {"a/old": b"old"})

    def leave_out(name: str, _reason: str) -> None:
        told.append(name)
        (source / "b").unlink()

    mirroring.mirror(source, target, leave_out)
    assert told == ["a"]
    assert texts(target) == {"a/old": "old", "c": "1"}


def test_a_full_disk_is_no_fault_of_a_file(source: Path, tmp_path: Path):
    """None is left out for it: the mirror is tried again."""
    with full_disk(tmp_path / "disk"), pytest.raises(NoSpace):
        left_out(source, tmp_path / "disk" / "target")
