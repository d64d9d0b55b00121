"""Where a model is between its script's end and its place."""

from collections.abc import Callable
from pathlib import Path

from blocks.platform import Platform
from flows.training.instance import Instance
from flows.training.kept import keep, make_links_relative
from tests.flows.training.folders import fill, texts


def test_a_model_outlives_its_attempt(here: Platform, instance: Callable[..., Instance]):
    """It is moved out of the attempt's folder as a whole, which can be asked again; the folder stays to be tidied."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"a.pt": b"a", "deep/b.pt": b"b"})
    folder = keep(one, home)
    assert keep(one, home) == folder == home / "kept" / one.assignment.training_id / "model"
    assert texts(folder) == {"a.pt": "a", "deep/b.pt": "b"}
    assert one.root.is_dir()
    assert not one.folders.model.exists()


def test_a_later_attempts_model_takes_its_place(here: Platform, instance: Callable[..., Instance]):
    """What an attempt that was given up kept, or was moving when it died, is not mixed with it."""
    one, home = instance(), here.settings.home
    fill(one.folders.model, {"old.pt": b"old"})
    keep(one, home)
    fill(home / "kept" / one.assignment.training_id / "model.coming", {"half.pt": b"half"})
    fill(one.folders.model, {"new.pt": b"new"})
    assert texts(keep(one, home)) == {"new.pt": "new"}
    assert [path.name for path in (home / "kept" / one.assignment.training_id).iterdir()] == ["model"]


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
