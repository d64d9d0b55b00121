"""Starts the launcher on a script, as the platform does: job on standard input, output and reports on pipes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.pools.environments import Environments

LAUNCHER = Path(__file__).parents[2] / "images" / "launcher" / "__main__.py"
SECONDS = 180


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true; fail when the time is over."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this did not become true in time"
        time.sleep(0.02)


class Launch:
    """One launcher at work."""

    def __init__(self, folder: Path, script: str, python: str, job: dict[str, object]) -> None:
        self.folder = folder
        self.attempt = f"attempt-{uuid.uuid4().hex[:8]}"
        self.script = folder / "train.py"
        self.script.write_text(textwrap.dedent(script), encoding="utf-8")
        self._reports, writer = os.pipe()
        self._output = (folder / "output").open("wb")
        self.process = subprocess.Popen(
            [python, "-I", "-S", "-B", str(LAUNCHER)],
            stdin=subprocess.PIPE,
            stdout=self._output,
            pass_fds=[writer],
            env={"EMF_REPORT_FD": str(writer)},
        )
        os.close(writer)
        arguments = job.pop("arguments", [])
        env = {"PATH": os.environ["PATH"]} | job.pop("env", {})
        line = {"attempt": self.attempt, "argv": [str(self.script), *arguments], "cwd": str(folder), "env": env} | job
        self.send(json.dumps(line).encode() + b"\n")

    def send(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def printed(self, words: str, seconds: float = 20) -> None:
        wait_until(lambda: words in self.output, seconds)

    def events(self) -> list[dict]:
        """Wait for the launcher's end and return all that it reported."""
        self.process.wait(SECONDS)
        with os.fdopen(self._reports, "rb") as pipe:
            self._reports = -1
            return [json.loads(line) for line in pipe]

    def end(self) -> dict:
        """Wait for the launcher's end and return its last report."""
        last = self.events()[-1]
        assert last["event"] == "ended", last
        assert self.alive() == []
        return last

    def alive(self) -> list[int]:
        """Return the living processes that carry this attempt's mark or lie in its folder."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                text = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            except OSError:
                continue
            mine = self.attempt.encode() in text or str(self.script).encode() in text
            if mine and int(folder.name) != self.process.pid:
                found.append(int(folder.name))
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self._output.close()
        if self._reports >= 0:
            os.close(self._reports)
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launch]]:
    """Start the launcher on the text of a script; keywords are the job's fields, `arguments` the script's own."""
    started: list[Launch] = []

    def start(script: str, python: str = sys.executable, **job: object) -> Launch:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Launch(folder, script, python, job))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until something is true."""
    return wait_until


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Callable[[str], str]:
    """Return the python of an image's environment, made once for all tests."""
    environments = Environments(tmp_path_factory.mktemp("home"))
    return lambda name: str(environments.ensure(name))
