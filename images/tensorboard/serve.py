"""TensorBoard over one folder, on loopback, until nobody has looked for a while.

Who calls it: a host, as `IMAGE_PYTHON …/serve.py --logdir FOLDER --port PORT --idle-minutes 60`. It exits with 0 when
it has been idle for that long (whoever wants to look again starts it again), with 1 if the port is taken.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LOOPBACK = "127.0.0.1"
RELOAD_SECONDS = 5


class LastRequest:
    """A WSGI application around another that notes when the last request came and when it was answered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count the start as a request: a page that is opened for somebody is not idle before they come."""
        self._clock = clock
        self._last = clock()
        self._application: Callable[..., Iterable[bytes]] | None = None

    def around(self, application: Callable[..., Iterable[bytes]]) -> LastRequest:
        """Pass requests on to this application from now on."""
        self._application = application
        return self

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI, PEP 3333)."""
        if self._application is None:
            raise RuntimeError("There is no application yet; call `around` first.")
        self._last = self._clock()
        try:
            return self._application(environ, start_response)
        finally:
            self._last = self._clock()

    def idle_seconds(self) -> float:
        """Return how long ago the last request was."""
        return self._clock() - self._last


def wait_until_idle(last: LastRequest, idle_seconds: float, wait: Callable[[float], Any]) -> None:
    """Return when no request has come for so long; `wait` is called with the seconds until that may be so."""
    while (left := idle_seconds - last.idle_seconds()) > 0:
        wait(left)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Serve TensorBoard until it is idle.")
    parser.add_argument("--logdir", required=True, help="the folder with the event files; it may come later")
    parser.add_argument("--port", type=int, required=True, help="the TCP port")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on; another one only in a container")
    parser.add_argument("--idle-minutes", type=float, required=True, help="exit after so long without a request")
    parser.add_argument(
        "--path-prefix", default="", help="the path under which a proxy offers it, as in /tensorboard/1"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Serve until idle."""
    options = parse(argv)
    from tensorboard import default, program

    last = LastRequest()

    def server(application: Callable[..., Iterable[bytes]], flags: Any) -> program.WerkzeugServer:
        return program.WerkzeugServer(last.around(application), flags)

    board = program.TensorBoard(plugins=default.get_plugins(), server_class=server)
    words = ["tensorboard", f"--logdir={options.logdir}", f"--host={options.host}", f"--port={options.port}"]
    words += [f"--reload_interval={RELOAD_SECONDS}", f"--path_prefix={options.path_prefix.rstrip('/')}"]
    board.configure(argv=words)
    try:
        url = board.launch()
    except program.TensorBoardServerException as error:
        sys.stderr.write(f"TensorBoard cannot serve {options.logdir} on port {options.port}: {error.msg}\n")
        return 1
    sys.stderr.write(f"TensorBoard serves {options.logdir} at {url}\n")
    wait_until_idle(last, options.idle_minutes * 60, threading.Event().wait)
    sys.stderr.write(f"Nobody has asked for {options.idle_minutes:g} minutes: TensorBoard ends.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
