"""`python -m flows.controller`: run the controller until it is told to end."""

import os
import sys

import uvicorn

from blocks import settings
from blocks.platform import Platform
from blocks.pools.runs import Runs
from flows.controller.assign import Assigner
from flows.controller.boards import Boards
from flows.controller.door import app
from flows.controller.pulse import Pulse
from flows.controller.watch import Watch
from flows.plain_log import log_plainly


def main() -> None:
    """Open the records, and go on until SIGTERM."""
    secret = os.environ.get("EMF_CLAIM_SECRET", "")
    if not secret:
        sys.exit("EMF_CLAIM_SECRET is not set: the controller is started by `emf up`, which makes it.")
    log_plainly()
    platform = Platform()
    platform.records.migrate()
    pulse = Pulse()
    watch = Watch(platform, Runs(), secret, Boards(platform, pulse).publish, pulse)
    watch.start()
    try:
        uvicorn.run(
            app(Assigner(platform), secret, pulse),
            host=settings.LOOPBACK,
            port=platform.settings.ports.controller,
            log_level="warning",
            access_log=False,
        )
    finally:
        watch.stop(within=10)


if __name__ == "__main__":
    main()
