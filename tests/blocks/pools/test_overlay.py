"""An attempt's own packages lie on top of its image's environment and never change that."""

import os
import socket
import subprocess
import time
import venv
from pathlib import Path

import pytest

from blocks.pools.environments import (
    InstallStopped,
    RegistryAway,
    RequirementsFailed,
    overlay,
)
from tests.blocks.pools.wheels import ask, wheel


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The python of an image that has pip, `tinypkg` 1.0 and `torch` 1.0 (ours, not the real one)."""
    folder = tmp_path_factory.mktemp("image")
    venv.create(folder / "env", with_pip=True, symlinks=True)
    python = folder / "env" / "bin" / "python"
    for name in ("tinypkg", "torch"):
        file = wheel(folder, name, "1.0")
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", file], check=True, timeout=60)
    return python


@pytest.fixture
def install(tmp_path, base, wheels):
    """Install the text of a requirements.txt on top of the image."""

    def start(text: str, line=lambda _: None, deadline: float = 60, **words) -> Path:
        file = tmp_path / "source" / "requirements.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return overlay(base, tmp_path / "overlay", file, line, deadline, **words)

    return start


def test_satisfied_requirements_are_not_installed_again(tmp_path, install, base, wheels):
    """What the image has is used from there; pip's words arrive line by line."""
    lines: list[str] = []
    python = install("tinypkg>=0.5\n", lines.append)
    assert python == tmp_path / "overlay" / "bin" / "python"
    assert ask(python, "import tinypkg; print(tinypkg.__file__)").startswith(str(base.parents[1]))
    assert any(line.startswith("Requirement already satisfied: tinypkg>=0.5") for line in lines)


def test_pinned_version_wins_and_the_image_stays(install, base, wheels):
    """Another version is installed in the attempt's environment only, and imported from there."""
    wheel(wheels, "tinypkg", "0.9")
    wheel(wheels, "extra", "3.0", requires="tinypkg<1")
    python = install("tinypkg==0.9\nextra\n")
    assert ask(python, "import extra, tinypkg; print(extra.VERSION, tinypkg.VERSION)") == "3.0 0.9"
    assert ask(base, "import tinypkg; print(tinypkg.VERSION)") == "1.0"


def test_torch_is_never_replaced(install, wheels):
    """A package that wants another torch fails with pip's words; one that takes what is there installs."""
    wheel(wheels, "torch", "2.0")
    wheel(wheels, "vision", "1.0", requires="torch==2.0")
    wheel(wheels, "vision", "0.9", requires="torch==1.0")
    assert ask(install("vision\ntorch\n"), "import vision, torch; print(vision.VERSION, torch.VERSION)") == "0.9 1.0"
    with pytest.raises(RequirementsFailed, match=r"\(constraint\) torch==1\.0"):
        install("torch==2.0\n")


def test_failing_installation_says_so_in_pips_words(install):
    """The exit code and pip's last lines are in the error."""
    with pytest.raises(RequirementsFailed, match="No matching distribution found for nosuch==1") as failed:
        install("nosuch==1\n")
    assert failed.value.exit_code == 1
    assert failed.value.last_lines[-1].startswith("ERROR: No matching distribution found")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            ["Collecting a", "ERROR: No matching distribution found for a"],
            "ERROR: No matching distribution found for a",
        ),
        (
            ["error: metadata-generation-failed", "", "hint: See above for details."],
            "error: metadata-generation-failed",
        ),
        (["killed"], "killed"),
    ],
)
def test_one_line_says_what_failed(said, expected):
    """pip's own word for it, not the hints below it; all of its words are in the error's text, once."""
    failed = RequirementsFailed(said, 1)
    assert failed.what == f"pip could not install requirements.txt (exit code 1): {expected}"
    assert str(failed).splitlines()[1:] == said


def slow(folder: Path) -> str:
    """Write a package whose build never ends and starts a process of its own; return its requirement."""
    (folder / "slow").mkdir(parents=True)
    (folder / "slow" / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "slow" / "backend.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    )
    return f"{folder / 'slow'}\n"


def building(folder: Path) -> list[Path]:
    """Return the processes whose command or folder lies in this folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            lies_here = (process / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if process.name.isdigit() and int(process.name) != os.getpid() and lies_here:
            found.append(process)
    return found


def test_installation_can_be_stopped(tmp_path, install):
    """A wish to stop ends pip and what it has started, within seconds."""
    package = slow(tmp_path / "source" / "p")
    began: list[float] = []

    def stop() -> bool:
        if len(building(tmp_path)) >= 3 and not began:  # pip, the build, what the build has started
            began.append(time.monotonic())
        return bool(began)

    with pytest.raises(InstallStopped):
        install(package, should_stop=stop)
    assert building(tmp_path) == []
    assert time.monotonic() - began[0] < 10


def test_installation_has_a_deadline(tmp_path, install):
    """pip that does not end in time is ended, with no exit code."""
    with pytest.raises(RequirementsFailed, match="within 4 s") as failed:
        install(slow(tmp_path / "source" / "p"), deadline=4)
    assert failed.value.exit_code is None
    assert building(tmp_path) == []


def test_error_of_the_listener_ends_the_installation(tmp_path, install):
    """An exception from whoever hears the lines passes through, and nothing of pip stays."""

    def listen(_: str) -> None:
        raise KeyError("log store")

    with pytest.raises(KeyError):
        install(slow(tmp_path / "source" / "p"), listen)
    assert building(tmp_path) == []


def test_registry_that_does_not_answer_is_worth_another_try(install, monkeypatch):
    """Where nobody answers at the registry's address, the error is temporary and has pip's words."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    with pytest.raises(RegistryAway, match=f"127.0.0.1.*{port}"):
        install("nosuch==1\n")
