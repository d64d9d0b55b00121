"""What the scheduled backstop asks of the controller."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.reconcile.flow import listening_since


@pytest.fixture
def controller(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address that answers with a status and a body."""
    status, body = request.param

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_given: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


SINCE = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
SAID = f'{{"listening_since": "{SINCE.isoformat()}"}}'.encode()


@pytest.mark.parametrize(
    ("controller", "since"),
    [((200, SAID), SINCE), ((503, SAID), SINCE), ((200, b"{}"), None), ((502, b"<html>"), None), ((200, b"[]"), None)],
    indirect=["controller"],
)
def test_the_controller_says_since_when_it_hears(controller: str, since: datetime | None):
    """Also where one of its loops is late; what is no answer of the controller's is none."""
    assert listening_since(controller) == since


def test_a_door_that_is_shut_hears_nobody():
    """Then no attempt may be blamed for its silence."""
    assert listening_since("http://127.0.0.1:9") is None
