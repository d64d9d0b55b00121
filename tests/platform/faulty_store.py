"""A line to the object store on which some requests fail, or none is answered at all."""

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SILENCE_SECONDS = 300.0
PASSED_ON = ("content-length", "transfer-encoding", "connection", "keep-alive")


class FaultyStore(ThreadingHTTPServer):
    """Passes requests on to a store; of these a share fails. Set `share` and `is_silent` while it runs."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, store_url: str, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = urlsplit(store_url)
        self.share, self.is_silent = 0.0, False
        self.random, self.seen = random.Random(seed), Counter[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyStore

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        began = time.monotonic()
        while self.server.is_silent and time.monotonic() - began < SILENCE_SECONDS:
            time.sleep(0.1)
        fault = self.server.random.choice(("503", "500", "no answer", "lost answer"))
        if self.server.random.random() >= self.server.share:
            fault = ""
        self.server.seen[fault or "passed"] += 1
        if fault == "no answer":
            self._break()
        elif fault in ("500", "503"):
            self._answer(int(fault), [], b"")
        else:
            status, headers, answer = self._ask(body)
            if fault == "lost answer":  # it was done, and nobody hears of that
                self._break()
            else:
                self._answer(status, headers, answer)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        store = http.client.HTTPConnection(str(self.server.store.hostname), self.server.store.port, timeout=120)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # the host too: it is signed
                if name.lower() not in ("connection", "expect"):
                    store.putheader(name, value)
            store.endheaders(body or None)
            answer = store.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            store.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass


@contextmanager
def faulty(store_url: str) -> Iterator[FaultyStore]:
    """Run one, on a port of loopback, for as long as the block lasts."""
    with FaultyStore(store_url) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.is_silent = False
            server.shutdown()
