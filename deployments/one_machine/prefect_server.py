"""Prefect's server as its own command starts it, but for two things: whom it answers, and where garbage is collected.

A page of the internet whose name was made to lead to this machine is, for a browser, of this server's own origin, and
whoever reaches Prefect can have it run a shell. Its requests still carry that name: only this machine's are answered.

Garbage is collected in a thread of its own. A cursor of SQLite's that the event loop's thread collects waits there for
its connection; another thread may hold that until the database's write lock is free, and who has the lock waits for the
event loop. The server then answers nobody for a minute (SQLite's busy timeout). A thread that only collects may
wait: it holds neither the loop nor Python's lock.
"""

import gc
import threading
import time

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from blocks import settings

HOSTS = (settings.LOOPBACK, "localhost", "[::1]")
YOUNG_SECONDS = 1.0
ALL_ROUNDS = 60


def collect_aside() -> None:
    """Collect garbage from now on only in a thread made for that."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    rounds = 0
    while True:
        time.sleep(YOUNG_SECONDS)
        rounds += 1
        gc.collect(2 if rounds % ALL_ROUNDS == 0 else 1)


def guarded(app: ASGIApp) -> ASGIApp:
    """Return the application, deaf to requests that were sent to any other name than this machine's own."""
    return TrustedHostMiddleware(app, allowed_hosts=HOSTS, www_redirect=False)


def main() -> None:
    """Serve until SIGTERM."""
    collect_aside()
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    uvicorn.run(
        guarded(create_app(final=True)),
        host=settings.LOOPBACK,
        port=settings.load().ports.prefect,
        timeout_keep_alive=server.api.keepalive_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
