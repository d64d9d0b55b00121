"""What is found below a folder of this machine, and what is left out."""

import os
from pathlib import Path

import pytest

from blocks.storage import walk as module
from blocks.storage.errors import Unsafe
from blocks.storage.walk import walk


def found(folder: Path, boundary: Path | None = None) -> tuple[list[str], dict[str, str]]:
    left: dict[str, str] = {}
    keys = [item.key for item in walk(folder, boundary or folder, left.__setitem__)]
    return keys, left


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    """A link to a file or a folder of the same folder gives its content under the link's name."""
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1" / "w").write_text("w")
    (tmp_path / "latest").symlink_to("step-1")
    (tmp_path / "best").symlink_to("step-1/w")
    assert found(tmp_path) == (["best", "latest/w", "step-1/w"], {})


def test_links_that_leave_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """Links out of the folder, to nothing and in a circle are named, not followed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("..")
    (folder / "gone").symlink_to("nothing")
    (folder / "self").symlink_to("self")
    (folder / "round").symlink_to(".")
    keys, left = found(folder)
    assert keys == []
    assert set(left) == {"secret", "up", "gone", "self", "round"}
    assert "leaves" in left["secret"] and "leaves" in left["up"]


def test_a_mount_may_link_within_itself(tmp_path: Path) -> None:
    """With a wider boundary, a link that stays inside that is followed."""
    (tmp_path / "shared").write_text("s")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../shared")
    assert found(tmp_path / "folder", tmp_path)[0] == ["link"]


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    """Folders that link in a circle are entered once along each way."""
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        (tmp_path / name / "other").symlink_to(f"../{other}")
    keys, left = found(tmp_path)
    assert keys == ["a/file", "a/other/file", "b/file", "b/other/file"]
    assert set(left) == {"a/other/other", "b/other/other"}


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    """A FIFO would wait for ever, a name that is no text can be no key: both are named."""
    os.mkfifo(tmp_path / "fifo")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_text("x")
    (tmp_path / "line\nbreak").write_text("x")
    keys, left = found(tmp_path)
    assert keys == []
    assert len(left) == 3


def test_links_that_multiply_end_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links to folders can double the count at every level: the walk stops at its limit."""
    monkeypatch.setattr(module, "LIMIT", 500)
    for level in range(12):
        (tmp_path / f"{level}").mkdir()
        for name in "ab":
            (tmp_path / f"{level}" / name).symlink_to(f"../{level + 1}")
    (tmp_path / "12").mkdir()
    with pytest.raises(Unsafe, match="500"):
        found(tmp_path)


def test_a_folder_that_vanishes_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is there is found all the same; a folder that was never there is an error."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    listed = module._listed

    def listed_too_late(folder: Path) -> list[os.DirEntry[str]]:
        if folder == tmp_path / "a":
            folder.rmdir()
        return listed(folder)

    monkeypatch.setattr(module, "_listed", listed_too_late)
    assert found(tmp_path) == (["b"], {"a": "gone meanwhile"})
    with pytest.raises(FileNotFoundError):
        found(tmp_path / "never")
