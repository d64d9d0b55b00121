"""Prefect's server as its own command starts it, but for where garbage is collected: in a thread of its own.

A cursor of SQLite's that the event loop's thread collects waits there for its connection; another thread may hold that
until the database's write lock is free, and who has the lock waits for the event loop. The server then answers nobody
for a minute (SQLite's busy timeout). A thread that only collects may wait: it holds neither the loop nor Python's lock.
"""

import gc
import threading
import time

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


def main() -> None:
    """Run Prefect's command with this process's arguments."""
    collect_aside()
    from prefect.cli import app

    app()


if __name__ == "__main__":
    main()
