"""Where a model is between its script's end and its place."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocks.platform import Platform
from flows.training import whole
from flows.training.instances import kept
from flows.training.instances.instance import Instance
from flows.training.instances.kept import is_kept, keep, make_links_relative
from tests.flows.training.folders import fill, give_away, texts


def test_a_model_outlives_its_attempt(here: Platform, instance: Callable[..., Instance]):
    """It is moved out of the attempt's folder as a whole, which can be asked again; the folder stays to be tidied."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a", "deep/b.pt": b"b"})
    folder = keep(one, home)
    assert keep(one, home) == folder == home / "kept" / one.assignment.training_id / "model"
    assert texts(folder) == {"a.pt": "a", "deep/b.pt": "b"}
    assert one.root.is_dir()
    assert not one.folders.model.exists()


def test_a_kill_costs_no_model_that_the_disk_does_not_have_yet(
    here: Platform, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
):
    """While that is waited for it is out of the attempt's folder already, and counts; not after the machine's end."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a"})

    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        keep(one, home)
    monkeypatch.undo()
    assert is_kept(home, one.assignment.training_id)
    assert not one.folders.model.exists()
    (boot := home / "boot_id").write_text("another\n")
    with monkeypatch.context() as patch:
        patch.setattr(kept, "BOOT", boot)
        assert not is_kept(home, one.assignment.training_id)
    assert texts(keep(one, home)) == {"a.pt": "a"}
    assert [path.name for path in (home / "kept" / one.assignment.training_id).iterdir()] == ["model"]


def test_a_disk_that_is_not_well_keeps_nobody_from_sending(
    here: Platform, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
):
    """The model is whole, although its disk does not say that it has it."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a"})

    def fails(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(whole.os, "fsync", fails)
    assert texts(keep(one, home)) == texts(keep(one, home)) == {"a.pt": "a"}


def test_a_later_attempts_model_takes_its_place(here: Platform, instance: Callable[..., Instance]):
    """What an attempt that was given up kept, or was moving when it died, is not mixed with it."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"old.pt": b"old"})
    keep(one, home)
    fill(home / "kept" / one.assignment.training_id / "model.coming", {"half.pt": b"half"})
    fill(one.folders.model, {"new.pt": b"new"})
    assert texts(keep(one, home)) == {"new.pt": "new"}
    assert [path.name for path in (home / "kept" / one.assignment.training_id).iterdir()] == ["model"]


def test_a_model_whose_folders_the_script_closed_is_kept(
    here: Platform, instance: Callable[..., Instance], unprivileged: Callable[[], None]
):
    """Whatever their modes are: it is moved as a whole, with links made relative in them."""
    one, home = instance(), here.settings.home
    left = fill(one.folders.model, {"a.pt": b"a", "deep/b.pt": b"b", "secret/c.pt": b"c"})
    (left / "deep" / "last.pt").symlink_to(left / "a.pt")
    give_away(home.parent)
    for closed, mode in {left / "deep": 0o555, left / "secret": 0o000, left: 0o555}.items():
        closed.chmod(mode)
    unprivileged()
    folder = keep(one, home)
    assert texts(folder) == {"a.pt": "a", "deep/b.pt": "b", "deep/last.pt": "a", "secret/c.pt": "c"}
    assert not left.exists()


@pytest.fixture
def two_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be renamed out of an attempt's folder."""
    rename = Path.rename

    def within(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", within)


@pytest.mark.usefixtures("two_disks")
def test_a_model_on_another_disk_is_copied(here: Platform, instance: Callable[..., Instance]):
    """It is whole in its new place, and gone from the old one."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a", "deep/b.pt": b"b"})
    assert texts(keep(one, home)) == {"a.pt": "a", "deep/b.pt": "b"}
    assert list(one.root.iterdir()) == []


@pytest.mark.usefixtures("two_disks")
def test_a_copied_model_that_is_half_removed_is_no_model(
    here: Platform, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
):
    """Whoever asks again, after a removal that broke off, still gets the whole copy."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a", "b.pt": b"b"})
    with monkeypatch.context() as patch:
        patch.setattr(
            "flows.training.instances.kept.shutil.rmtree", lambda path, **_how: (path / "a.pt").unlink(missing_ok=True)
        )
        keep(one, home)
    assert texts(keep(one, home)) == {"a.pt": "a", "b.pt": "b"}


@pytest.mark.usefixtures("two_disks")
def test_a_model_that_cannot_be_moved_stays_whole(
    here: Platform, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
):
    """Half a copy takes no room and is taken for no model."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a"})

    def break_off(_left: Path, coming: Path, **_how: Any) -> None:
        fill(coming, {"half.pt": b"half"})
        raise OSError("No space left on device")

    monkeypatch.setattr("flows.training.instances.kept.shutil.copytree", break_off)
    with pytest.raises(OSError, match="No space left"):
        keep(one, home)
    assert texts(one.folders.model) == {"a.pt": "a"}
    assert list((home / "kept" / one.assignment.training_id).iterdir()) == []


def test_links_inside_survive_the_move(tmp_path: Path):
    """Those that name the folder by its old place lead to the same file in the new one; others stay as they are."""
    folder = fill(tmp_path / "old", {"a.pt": b"a", "deep/b.pt": b"b"})
    (folder / "last.pt").symlink_to(folder / "a.pt")
    (folder / "deep" / "first.pt").symlink_to(folder / "a.pt")
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "short.pt").symlink_to("a.pt")
    (folder / "away").symlink_to("/etc/hostname")
    (folder / "circle").symlink_to(folder / "circle")
    make_links_relative(folder)
    moved = folder.rename(tmp_path / "new")
    assert (moved / "last.pt").read_bytes() == (moved / "deep" / "first.pt").read_bytes() == b"a"
    assert (moved / "linked" / "b.pt").read_bytes() == b"b"
    assert str((moved / "short.pt").readlink()) == "a.pt"
    assert str((moved / "away").readlink()) == "/etc/hostname"
