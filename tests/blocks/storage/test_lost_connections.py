"""A real object store behind a line that breaks: answers that get lost, bodies that end early."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from blocks.storage import Endpoint, Location, Storage
from blocks.storage.errors import AlreadyThere, Unreachable
from blocks.storage.s3_client import connect
from tests.blocks.storage.conftest import object_storage

Judge = Callable[[bytes], int | None]
"""Told how a request begins: None lets the answer through, a number how many of its bytes pass before the break."""


@contextmanager
def breaking(swift: Endpoint, judge: Judge) -> Generator[tuple[Storage, str]]:
    """Yield a storage, and its endpoint, behind a line that breaks when `judge` says so."""
    target = urlsplit(swift.url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            with suppress(OSError):  # the listener's end is this thread's
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection((str(target.hostname), int(target.port or 0)), timeout=30)
                    threading.Thread(target=carry, args=(near, far, judge), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield object_storage(swift.model_copy(update={"url": f"http://{host}"})), host
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def carry(near: socket.socket, far: socket.socket, judge: Judge) -> None:
    """Carry one connection's requests to the store, and back of the answers what the judge lets through."""
    left: list[int | None] = [None]

    def there() -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if data[:4] in {b"GET ", b"PUT ", b"HEAD", b"POST", b"DELE"}:
                    left[0] = judge(data)
                far.sendall(data)

    threading.Thread(target=there, daemon=True).start()
    with suppress(OSError), near, far:
        while data := far.recv(65536):
            allowed = left[0]
            if data.startswith(b"HTTP/1.1 100") or allowed is None:
                near.sendall(data)
            else:
                near.sendall(data[:allowed])
                near.shutdown(socket.SHUT_RDWR)
                return


def test_a_first_write_whose_answer_was_lost_is_ours(swift: Endpoint, container: Location) -> None:
    """When the answer to a first write is lost, sending it again does not meet itself as a rival."""
    lost = [0]

    def judge(request: bytes) -> int | None:
        if request.startswith(b"PUT ") and b"marker" in request and not lost[0]:
            lost[0] += 1
            return 0
        return None

    with breaking(swift, judge) as (storage, host):
        through = Location("obs", host, container.container, "marker")
        storage.write(through, b"ours", only_if_absent=True)
        assert lost == [1]
        with pytest.raises(AlreadyThere):
            storage.write(through, b"theirs", only_if_absent=True)
        assert object_storage(swift).read(container / "marker") == b"ours"


def test_a_body_that_ends_early_is_temporary(swift: Endpoint, container: Location, tmp_path: Path) -> None:
    """A read or download that is cut off every time is Unreachable, and leaves no half file."""
    object_storage(swift).write(container / "set/x", b"x" * 300_000)
    with breaking(swift, lambda request: 20_000 if request.startswith(b"GET ") and b"/x" in request else None) as (
        cut,
        host,
    ):
        through = Location("obs", host, container.container, "set/x")
        with pytest.raises(Unreachable):
            cut.read(through)
        with pytest.raises(Unreachable):
            cut.download(through, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_an_upload_that_was_removed_although_the_answer_was_lost(swift: Endpoint, container: Location) -> None:
    """Removing it again finds none, and the folder is deleted all the same."""
    client = connect(swift)
    client.create_multipart_upload(Bucket=container.container, Key="set/large")
    lost = [0]

    def judge(request: bytes) -> int | None:
        if request.startswith(b"DELETE ") and b"uploadId=" in request and not lost[0]:
            lost[0] += 1
            return 0
        return None

    with breaking(swift, judge) as (storage, host):
        storage.delete(Location("obs", host, container.container, "set"))
    assert lost == [1]
    assert "Uploads" not in client.list_multipart_uploads(Bucket=container.container)
