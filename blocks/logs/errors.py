"""What the log store answers when it could not do what it was asked."""

from blocks.errors import BlockError, Permanent, Temporary


class LogError(BlockError):
    """Any error of this room."""


class BadLogId(LogError, Permanent):
    """An id, attempt or instance that names no place in the store."""


class LogInUse(LogError, Permanent):
    """Another process writes this instance's log; two would number their lines alike."""


class LogStoreAway(LogError, Temporary):
    """The store cannot be written or read now (disk full, no permission, disk away)."""
