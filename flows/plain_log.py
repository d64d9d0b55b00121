"""How processes that know secrets write their logs: what stands in variables stays out of them."""

import structlog


def log_plainly() -> None:
    """Write lines without colours, and tracebacks without the values of variables: those may be keys."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(processors=[structlog.processors.add_log_level, stamp, plain])
