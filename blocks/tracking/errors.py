"""What the tracking server answers when it could not do what it was asked."""

from blocks.errors import BlockError, Permanent, Temporary


class TrackingError(BlockError):
    """Any error of this room."""


class Unreachable(TrackingError, Temporary):
    """The server is away, too slow or broken at the moment (no connection, no answer in time, 429, 5xx)."""


class NotFound(TrackingError, Permanent):
    """There is no such experiment or run, or somebody deleted it in MLflow."""


class Rejected(TrackingError, Permanent):
    """The server understood and said no. `code` is MLflow's word for it, such as RESOURCE_ALREADY_EXISTS."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
