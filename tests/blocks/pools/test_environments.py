"""Images' environments are made once, whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from blocks.errors import Permanent, Temporary
from blocks.pools import environments
from blocks.pools.environments import (
    EnvironmentAway,
    EnvironmentBroken,
    Environments,
)
from blocks.pools.interpreter import Interpreter, interpreter
from tests.blocks.pools.wheels import ask, wheel


@pytest.fixture
def images(tmp_path, wheels) -> Path:
    """A folder with one image `tiny`, which has one package."""
    file = wheel(wheels, "tinypkg", "1.0")
    folder = tmp_path / "images"
    (folder / "tiny").mkdir(parents=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "tiny" / "requirements.lock").write_text(f"tinypkg==1.0 --hash=sha256:{digest}\n")
    return folder


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
