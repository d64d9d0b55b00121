"""What is told of a server that is away, slow, broken or not MLflow; and what importing the room costs."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import Permanent, Temporary
from blocks.tracking import Tracking
from blocks.tracking.entities import batches, key_for, pairs
from blocks.tracking.errors import NotFound, Rejected, Unreachable


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Something at a port of this machine that gives every request one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"busy", Unreachable),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "database is locked"}', Unreachable),
        (429, b"{}", Unreachable),
        (200, b"<html>another service</html>", Unreachable),
        (302, b"", Unreachable),
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no run"}', NotFound),
        (404, b"not found", Rejected),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', Rejected),
        (403, b"Invalid Host header", Rejected),
    ],
)
def test_answers(status: int, body: bytes, expected: type[Exception]) -> None:
    """Each answer is one of our errors, which carries what the server said."""
    with answering(status, body) as url, pytest.raises(expected) as caught:
        Tracking(url).metrics("x")
    assert isinstance(caught.value, Temporary) == (expected is Unreachable)
    assert isinstance(caught.value, Permanent) == (expected is not Unreachable)


def test_nobody_there() -> None:
    """A server that is down is Unreachable at once, with its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(Unreachable, match=url):
        Tracking(url).ensure_run("1", "t", "n", {}, {})
    assert time.monotonic() - began < 3


def test_silent() -> None:
    """A server that accepts and says nothing is Unreachable after the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable):
        Tracking(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.3).delete_run("x")


def test_import_is_light() -> None:
    """Importing the room, and printing a link, imports neither MLflow nor an HTTP client."""
    program = "import sys; from blocks.tracking import Tracking; print(Tracking('http://x').experiment_page('1'));"
    program += "print({'mlflow', 'httpx'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "http://x/#/experiments/1\nset()\n"


@settings(deadline=None)  # its first example imports MLflow
@given(st.lists(st.text(max_size=300), unique=True))
def test_keys(names: list[str]) -> None:
    """Every name has a key that MLflow takes, and no two have the same."""
    from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name

    keys = [key_for(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(validate_param_and_metric_name(key) and not path_not_unique(key) and len(key) <= 250 for key in keys)


def test_usual_keys_stay() -> None:
    """Names that MLflow takes are their own keys."""
    for name in ("learning_rate", "a.b-c", "optimizer/lr", "학습률", "a b:c", "easymaker.training_id"):
        assert key_for(name) == name


def test_batches() -> None:
    """250 pairs are three requests, in order, and values are cut to the limit."""
    found = list(batches(pairs({str(n): "xyz" for n in range(250)}, 2)))
    assert [len(batch) for batch in found] == [100, 100, 50]
    assert found[2][49] == {"key": "249", "value": "xy"}
