"""Folders that are there as a whole or not at all."""

import os
import shutil
from pathlib import Path

import pytest

from flows.training import whole
from tests.flows.training.folders import FILES, content, fill, give_away


class Killed(BaseException):
    """SIGKILL: nothing after it is done."""


@pytest.fixture
def killed_removing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that dies after its first file."""
    rmtree = shutil.rmtree

    def die(folder: Path, ignore_errors: bool = False) -> None:
        if folder.is_dir():
            next(file for file in folder.rglob("*") if file.is_file()).unlink()
            raise Killed
        rmtree(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(whole.shutil, "rmtree", die)


@pytest.mark.usefixtures("killed_removing")
def test_what_is_half_removed_is_not_taken_for_whole(tmp_path: Path):
    """Who is killed while it removes a folder leaves none of that name."""
    with pytest.raises(Killed):
        whole.discard(fill(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_what_was_half_removed_goes_with_the_next(tmp_path: Path):
    """Nothing piles up; and none to remove is fine."""
    fill(tmp_path / "copy.going")
    whole.discard(fill(tmp_path / "copy"))
    whole.discard(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_the_disk_has_all_of_it_before_its_name_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every file, and every folder that lists one, is waited for first; what leads elsewhere, or blocks, is not."""
    coming = fill(tmp_path / "coming")
    (coming / "link").symlink_to("/dev/null")
    os.mkfifo(coming / "pipe")
    synced: list[Path] = []
    named: list[bool] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        named.append((tmp_path / "whole").exists())

    monkeypatch.setattr(whole.os, "fsync", sync)
    whole.put(coming, tmp_path / "whole")
    assert {*synced[:-1]} == {coming, coming / "state", *(coming / name for name in FILES)}
    assert not any(named[:-1])
    assert synced[-1] == tmp_path
    assert (tmp_path / "whole" / "link").is_symlink()


def test_what_the_disk_does_not_take_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that fails, or is full after all, tells it when it is waited for."""

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        whole.put(fill(tmp_path / "coming"), tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    assert content(tmp_path / "coming") == FILES


def test_what_nobody_may_read_is_put_as_it_is(tmp_path: Path, unprivileged):
    """A file that a script has closed to itself is nobody's content."""
    coming = fill(tmp_path / "coming")
    (coming / "empty").chmod(0)
    give_away(tmp_path)
    unprivileged()
    whole.put(coming, tmp_path / "whole")
    assert (tmp_path / "whole" / "empty").exists()
