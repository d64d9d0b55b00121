"""Where Swift's lines go: to stderr, which supervisord keeps, and never to the machine's syslog."""

import logging
import sys
from typing import Any


def to_stderr(  # the signature of Swift's `log_custom_handlers`
    _conf: dict[str, str], _name: str, _console: bool, _route: str, _fmt: str, logger: logging.Logger, _adapted: Any
) -> None:
    """Replace the syslog handler that Swift gives every logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]
