"""The platform's folder and its lock."""

from pathlib import Path

import pytest

from blocks.hosts.supervisord import socket_path
from blocks.settings import Settings
from deployments.one_machine import folders
from deployments.one_machine.errors import Busy, CannotStart


def test_nobody_else_can_look_in(tmp_path: Path) -> None:
    """Every folder of the platform is 0700, also where it was there before."""
    (tmp_path / "home").mkdir(mode=0o755)
    folders.prepare(Settings(home=tmp_path / "home"))
    assert {(tmp_path / "home" / name).stat().st_mode & 0o777 for name in folders.PRIVATE} == {0o700}


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    """The socket then lies in a short folder that only this user can enter."""
    home = tmp_path / ("deep" * 20) / ("er" * 20)
    folders.prepare(Settings(home=home))
    folder = socket_path(home).parent
    assert home not in folder.parents
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp anybody could have put one there first."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(folders, "socket_path", lambda _home: tmp_path / "link" / "sock")  # pyright: ignore
    with pytest.raises(CannotStart, match="belongs to another user"):
        folders.prepare(Settings(home=tmp_path / "home"))


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The message names the folder and EMF_HOME."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=f"{tmp_path}/file/home.*EMF_HOME"):
        folders.prepare(Settings(home=tmp_path / "file" / "home"))


def test_two_do_not_hold_the_lock(tmp_path: Path) -> None:
    """Who waits in vain is told what is going on; afterwards the lock is free again."""
    folders.prepare(Settings(home=tmp_path))
    with folders.lock(tmp_path, 1), pytest.raises(Busy, match="Another"), folders.lock(tmp_path, 0.2):
        pass
    with folders.lock(tmp_path, 0.2):
        pass
