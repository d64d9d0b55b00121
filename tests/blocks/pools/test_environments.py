"""Images' environments are made once, whole or not at all; an attempt's own lies on top and never changes its image."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import venv
import zipfile
from pathlib import Path

import pytest

from blocks.errors import Permanent, Temporary
from blocks.pools import environments
from blocks.pools.environments import (
    EnvironmentAway,
    EnvironmentBroken,
    Environments,
    InstallStopped,
    RegistryAway,
    RequirementsFailed,
    overlay,
)
from blocks.pools.interpreter import Interpreter, interpreter


def wheel(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Write a wheel with one module that knows its version."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files = "".join(f"{path},,\n" for path in (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", files)
    return file


@pytest.fixture
def wheels(tmp_path, monkeypatch) -> Path:
    """A folder of files that both installers look into, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def images(tmp_path, wheels) -> Path:
    """A folder with one image `tiny`, which has one package."""
    file = wheel(wheels, "tinypkg", "1.0")
    folder = tmp_path / "images"
    (folder / "tiny").mkdir(parents=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "tiny" / "requirements.lock").write_text(f"tinypkg==1.0 --hash=sha256:{digest}\n")
    return folder


def ask(python: Path, code: str) -> str:
    """Return what a python prints for this code."""
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_environment_is_made_once(tmp_path, images):
    """The first call makes it with the Python of this machine's images and reports; the second starts no process."""
    lines: list[str] = []
    made = Environments(tmp_path, images)
    assert not made.installed("tiny")
    python = made.ensure("tiny", lines.append)
    assert made.installed("tiny")
    assert (
        ask(python, "import sys, tinypkg; print(sys.version_info[:2], tinypkg.VERSION)")
        == f"{interpreter().version} 1.0"
    )
    assert f"with {interpreter()} in" in lines[0]
    assert any("tinypkg==1.0" in line for line in lines)
    started = time.monotonic()
    assert Environments(tmp_path, images).ensure("tiny", pytest.fail) == python
    assert time.monotonic() - started < 0.1


def test_another_python_is_another_environment_and_told(tmp_path, images, monkeypatch):
    """Where the images' Python is missing, what is made is not taken for theirs, and says what it runs with."""
    made, lines = Environments(tmp_path, images), list[str]()
    before = made.folder("tiny")
    other = Interpreter(sys.executable, (3, 99))
    monkeypatch.setattr(environments, "interpreter", lambda: other)
    assert made.folder("tiny") != before
    assert made.ensure("tiny", lines.append).is_relative_to(made.folder("tiny"))
    assert lines[1] == other.note != ""


def test_changed_lock_file_is_another_environment(tmp_path, images, wheels):
    """The old one stays for those who run in it."""
    made = Environments(tmp_path, images)
    old = made.ensure("tiny")
    digest = hashlib.sha256(wheel(wheels, "tinypkg", "2.0").read_bytes()).hexdigest()
    (images / "tiny" / "requirements.lock").write_text(f"tinypkg==2.0 --hash=sha256:{digest}\n")
    assert not made.installed("tiny")
    new = made.ensure("tiny")
    assert [ask(python, "import tinypkg; print(tinypkg.VERSION)") for python in (old, new)] == ["1.0", "2.0"]


def test_file_with_another_hash_is_refused(tmp_path, images, wheels):
    """A package that is not the locked one is not installed; the error has uv's words and nothing counts as made."""
    with (wheels / "tinypkg-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"\0")
    made = Environments(tmp_path, images)
    with pytest.raises(EnvironmentBroken, match=r"Hash mismatch for `tinypkg==1\.0`"):
        made.ensure("tiny")
    assert not made.installed("tiny")


def test_missing_image_is_told_with_those_that_are_there(tmp_path, images):
    """The error names the image and the ones that could have been meant; no path gets through."""
    for name in ("tinny", "../images/tiny", ""):
        with pytest.raises(EnvironmentBroken, match="there are: tiny"):
            Environments(tmp_path, images).ensure(name)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (["error: Failed to fetch: https://…", "  cause: dns error", "  cause: failed to lookup"], EnvironmentAway),
        (["error: Failed to fetch: https://…", "  cause: operation timed out"], EnvironmentAway),
        (["error: Failed to fetch: https://…", "  cause: Connection reset by peer (os error 104)"], EnvironmentAway),
        (["error: Failed to fetch: https://…", "  cause: error decoding response body for url (…)"], EnvironmentAway),
        (["error: Failed to fetch: https://…", "  cause: HTTP status … (429 Too Many Requests)"], EnvironmentAway),
        (["error: Failed to fetch: https://…", "  cause: HTTP status client error (404 Not Found)"], EnvironmentBroken),
        (["  × Failed to download `networkx==3.6.1`", "  ╰─▶ Hash mismatch for `networkx==3.6.1`"], EnvironmentBroken),
        (["  ╰─▶ Hash mismatch for `connection-pool==503.0`"], EnvironmentBroken),
        (
            ["error: error sending request for url (…)", "  Caused by: tcp connect error: Connection refused"],
            EnvironmentAway,
        ),
        (["error: HTTP status server error (503 Service Unavailable) for url"], EnvironmentAway),
        (["  × No solution found when resolving dependencies:"], EnvironmentBroken),
        (["error: Failed to create directory", "  Caused by: No space left on device"], EnvironmentBroken),
    ],
)
def test_only_a_registry_that_is_away_is_worth_another_try(said, kind):
    """uv's words decide whether asking again may help; they are in the message either way."""
    error = environments.failure("tiny", said, 1)
    assert type(error) is kind
    assert isinstance(error, Temporary if kind is EnvironmentAway else Permanent)
    assert said[-1] in str(error)


def test_an_installer_that_was_ended_says_nothing_of_the_image():
    """A signal from outside leads to another try; its number is told."""
    error = environments.failure("tiny", ["Resolved 73 packages"], -15)
    assert isinstance(error, EnvironmentAway)
    assert "was ended by signal 15" in str(error)


def test_builders_at_the_same_time_make_one(tmp_path, images):
    """Two that ask together get the same environment; one of them built it."""
    said: list[list[str]] = [[], []]
    found: list[Path] = []

    def build(number: int) -> None:
        found.append(Environments(tmp_path, images).ensure("tiny", said[number].append))

    threads = [threading.Thread(target=build, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == 1 and len(found) == 2
    assert sum(any("Making" in line for line in lines) for lines in said) == 1


@pytest.mark.parametrize("after", ["Making", "Creating", "Prepared", "+ tinypkg"])
def test_build_that_is_killed_leaves_none(tmp_path, images, after):
    """Killed after any line, a build counts for nothing, and the next one succeeds."""
    code = f"""
        import os, signal
        from pathlib import Path
        from blocks.pools.environments import Environments
        def line(text):
            if {after!r} in text:
                os.kill(os.getpid(), signal.SIGKILL)
        Environments(Path({str(tmp_path)!r}), Path({str(images)!r})).ensure("tiny", line)
        """
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    made = Environments(tmp_path, images)
    assert not made.installed("tiny")
    assert ask(made.ensure("tiny"), "import tinypkg; print(tinypkg.VERSION)") == "1.0"


def test_builder_that_goes_on_too_long_is_told(tmp_path, images, monkeypatch):
    """Who waits for another build has a deadline, and is told what holds the lock."""
    monkeypatch.setattr(environments, "LOCK_SECONDS", 0.3)
    made = Environments(tmp_path, images)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
    lock = tmp_path / "environments" / f".{made.folder('tiny').name}.lock"
    lock.parent.mkdir()
    words = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(EnvironmentAway, match="fuser"):
            made.ensure("tiny")
        other.stdin.close()
    made.ensure("tiny")


def test_installer_sees_no_key_of_the_platforms(tmp_path, images, monkeypatch):
    """What uv and pip are started with is an allow-list."""
    monkeypatch.setenv("EMF_OBJECT_STORE_SECRET_KEY", "hunter2")
    monkeypatch.setenv("PREFECT_API_KEY", "hunter2")
    seen = environments.allowed(os.environ, ("UV_",))
    assert "hunter2" not in seen.values()
    assert {"PATH", "UV_OFFLINE"} <= set(seen)


@pytest.mark.parametrize(
    ("has_nvidia", "here", "expected"),
    [
        (False, "cp311", ["--no-deps"]),
        (False, "cp313", ["--no-deps", "--torch-backend=cpu"]),
        (False, "", ["--no-deps", "--torch-backend=cpu"]),
        (True, "cp311", ["--torch-backend=auto"]),
        (True, "", ["--torch-backend=auto"]),
    ],
)
def test_build_of_torch_fits_the_machine(tmp_path, has_nvidia, here, expected):
    """A GPU gets its own build; else a file here that is for this Python is taken, else the CPU's build is fetched."""
    if here:
        (tmp_path / f"torch-2.13.0+cpu-{here}-{here}-linux_x86_64.whl").touch()
    assert environments.torch_words([str(tmp_path)], "2.13.0", "cp311", has_nvidia) == expected


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
