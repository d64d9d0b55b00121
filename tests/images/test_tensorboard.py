"""TensorBoard shows a folder's scalars on loopback and ends when nobody looks."""

import json
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from images.tensorboard.serve import LastRequest, wait_until_idle

SERVE = Path(__file__).parents[2] / "images" / "tensorboard" / "serve.py"
WRITE = """
import sys
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(sys.argv[1])
for step in range(3):
    value = Summary.Value(tag="loss", simple_value=1.0 / (step + 1))
    writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[value])))
writer.close()
"""


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_put_the_end_off():
    """The end comes a full idle time after the last request, not after the start."""
    clock = Clock()
    last = LastRequest(clock).around(lambda _environ, _start: [b"page"])
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds / 2
        if len(waits) == 1:
            assert last({}, lambda *_: None) == [b"page"]
        clock.now += seconds / 2

    wait_until_idle(last, 60, wait)
    assert (waits, clock.now) == ([60, 30], 90)


def test_request_without_an_application_is_an_error():
    """A server that is asked before it is ready says what is missing."""
    with pytest.raises(RuntimeError, match="around"):
        LastRequest(Clock())({}, lambda *_: None)


def fetch(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError):
        return None


def test_scalars_are_served_until_idle(tmp_path, image, until):
    """Under a prefix the scalars of a folder can be read; after the idle time the process ends with 0."""
    python = image("tensorboard")
    subprocess.run([python, "-c", WRITE, str(tmp_path / "run")], check=True, timeout=60)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [python, str(SERVE), "--logdir", str(tmp_path), "--port", str(port)]
    words += ["--idle-minutes", "0.05", "--path-prefix", "/board/"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{port}/board/data/plugin/scalars/scalars?run=run&tag=loss"
        until(lambda: process.poll() is not None or fetch(url), 60)
        assert [point[1:] for point in json.loads(fetch(url) or b"[]")] == [
            [0, 1.0],
            [1, 0.5],
            [2, pytest.approx(1 / 3)],
        ]
        assert process.wait(60) == 0
        assert "TensorBoard ends" in process.stderr.read()
    assert fetch(url) is None


def test_port_that_is_taken_is_an_error(tmp_path, image):
    """Two on one port: the second says so and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [image("tensorboard"), str(SERVE), "--logdir", str(tmp_path), "--idle-minutes", "1", "--port", port]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
