"""Environments that are of no more use: which they are, who uses them, and their removal."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.pools.environments import COMPLETE, LOCK, Environments
from blocks.pools.old_environments import Old, in_use, lock_of, made_at, old, remove

HOUR, DAY = 3600.0, 86400.0
Made = Callable[..., Path]


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    """Of a checkout with two images."""
    for image in ("pytorch", "tensor-board"):
        (tmp_path / "images" / image).mkdir(parents=True)
        (tmp_path / "images" / image / LOCK).write_text(image)
    return Environments(tmp_path / "emf", tmp_path / "images")


@pytest.fixture
def made() -> Made:
    """Make a folder as a build does, with its lock; all last changed so many seconds ago."""

    def go(folder: Path, ago: float = 2 * DAY, *, complete: bool = True) -> Path:
        (folder / "bin").mkdir(parents=True)
        (folder / "pyvenv.cfg").touch()
        signs = [folder, lock_of(folder), *([folder / COMPLETE] if complete else [])]
        for sign in (lock_of(folder), *([folder / COMPLETE] if complete else [])):
            sign.touch()
        for sign in signs:
            os.utime(sign, (time.time() - ago,) * 2)
        return folder

    return go


def test_what_a_lock_file_names_stays(environments: Environments, made: Made, tmp_path: Path):
    """Once the file changes, the environment of before is old."""
    folder = made(environments.folder("pytorch"))
    assert old(environments) == []
    (tmp_path / "images" / "pytorch" / LOCK).write_text("torch==3")
    assert old(environments) == [Old(folder, "pytorch", is_half_built=False)]


def test_of_an_image_that_has_gone(environments: Environments, made: Made):
    """Its environment is old; what has no such name is none of ours."""
    gone = made(environments.root / "jax-cpu-0123456789ab")
    for name in ("0123456789ab", "jax", "jax-0123456789AB", "jax-0123456789abc", ".jax-0123456789ab"):
        made(environments.root / name)
    (environments.root / "link-0123456789ab").symlink_to(gone)
    (environments.root / "file-0123456789ab").touch()
    assert old(environments) == [Old(gone, "jax-cpu", is_half_built=False)]


def test_a_checkout_without_images_is_none_to_judge_by(tmp_path: Path, made: Made):
    """One that is just being replaced names nothing."""
    environments = Environments(tmp_path / "emf", tmp_path / "images")
    made(environments.root / "jax-0123456789ab")
    assert old(environments) == []
    assert old(Environments(tmp_path / "none")) == []


@pytest.mark.parametrize("current", [True, False])
@pytest.mark.parametrize(("ago", "is_old"), [(DAY - 60, False), (DAY + 60, True)])
def test_a_build_that_died_is_old_after_a_day(
    environments: Environments, made: Made, current: bool, ago: float, is_old: bool
):
    """Whether or not a lock file still names it."""
    folder = environments.folder("pytorch") if current else environments.root / "pytorch-0123456789ab"
    made(folder, ago, complete=False)
    assert old(environments) == ([Old(folder, "pytorch", is_half_built=True)] if is_old else [])


@pytest.mark.parametrize("sign", ["", COMPLETE, "lock"])
def test_what_was_used_within_the_hour_stays(environments: Environments, made: Made, sign: str):
    """Its marker says when it was last used, its lock when somebody began to build it."""
    folder = made(environments.root / "jax-0123456789ab")
    os.utime(lock_of(folder) if sign == "lock" else folder / sign, (time.time() - HOUR + 60,) * 2)
    assert old(environments) == []


def test_who_uses_an_environment_says_so(environments: Environments, made: Made):
    """It is found again at once, and its marker tells when that was."""
    folder = made(environments.folder("pytorch"))
    environments.ensure("pytorch")
    assert time.time() - (folder / COMPLETE).stat().st_mtime < 60


MAPS = """
import mmap, sys
with open(sys.argv[1]) as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(flush=True)
input()
"""


@pytest.mark.parametrize("how", ["its command", "its environment", "a file that it has mapped"])
def test_who_runs_from_an_environment_uses_it(made: Made, tmp_path: Path, how: str):
    """Also where the platform's folder is a link; of another that begins alike nothing is said."""
    folder, other = made(tmp_path / "real" / "jax-0123456789ab"), made(tmp_path / "real" / "jax-0123456789abc")
    (folder / "library.so").write_text("x")
    (tmp_path / "elsewhere.so").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    asked = [folder, other, tmp_path / "link" / folder.name]
    mapped = "library.so" if how == "a file that it has mapped" else str(tmp_path / "elsewhere.so")
    argv = [sys.executable, "-c", MAPS, mapped, *([f"{folder}/bin/python"] if how == "its command" else [])]
    told = {"VIRTUAL_ENV": f"{folder}/"} if how == "its environment" else {}
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, env=os.environ | told, cwd=folder, **ends) as process:
        assert process.stdout.readline() == "\n"
        assert in_use(asked) == {folder, tmp_path / "link" / folder.name}
        process.communicate("\n", timeout=10)
    assert in_use(asked) == set()


def test_what_is_removed_loses_its_marker_first(
    environments: Environments, made: Made, monkeypatch: pytest.MonkeyPatch
):
    """Killed half way, it is no environment, and found again as a build that died."""
    folder = made(environments.root / "jax-0123456789ab")
    (one,) = old(environments)
    monkeypatch.setattr("blocks.pools.old_environments.shutil.rmtree", lambda *_given, **_how: None)
    assert not remove(environments, one)
    assert not (folder / COMPLETE).exists()
    monkeypatch.undo()
    os.utime(folder, (time.time() - 2 * DAY,) * 2)
    (left,) = old(environments)
    assert left.is_half_built
    assert remove(environments, left)
    assert not folder.exists()


def test_what_is_being_built_is_not_removed(environments: Environments, made: Made):
    """Whoever builds it holds its lock; who has built it meanwhile has an environment again."""
    folder = made(environments.folder("pytorch"), complete=False)
    (one,) = old(environments)
    with lock_of(folder).open("a") as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        assert not remove(environments, one)
    (folder / COMPLETE).touch()
    assert not remove(environments, one)
    assert folder.is_dir()


def test_since_when_there_is_an_environment(environments: Environments, made: Made):
    """Not since its last use, but since its build; never, where there is none."""
    assert made_at(environments, "pytorch") == float("inf")
    assert made_at(environments, "jax") == float("inf")
    folder = made(environments.folder("pytorch"))
    os.utime(folder / "pyvenv.cfg", (1000, 1000))
    assert made_at(environments, "pytorch") == 1000
