"""The mirror that TensorBoard reads."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.training.instances.mirror import COMPARED, mirror


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
