"""What this room says when a path cannot be used: `problem` (what was wrong, with its value) and `remedy` (what to do).

Nobody outside sees a botocore exception or an `OSError`: `s3_errors` and `os_errors` turn each into one of these.
"""

from blocks.errors import BlockError, Permanent, Temporary


class StorageError(BlockError):
    """A storage operation that failed; its text is `problem` followed by `remedy`."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class BadPath(StorageError, Permanent):
    """The text is no path of this platform."""


class NotFound(StorageError, Permanent):
    """Nothing is there: no container, no mount, no file."""


class AccessDenied(StorageError, Permanent):
    """The other side knows the path and refuses us."""


class UnknownEndpoint(StorageError, Permanent):
    """The platform has no credentials for an object store, or no mount for a NAS."""


class NoSpace(StorageError, Permanent):
    """The disk or the quota is full."""


class AlreadyThere(StorageError, Permanent):
    """Something stands where only the first may write."""


class Unsafe(StorageError, Permanent):
    """What was asked would leave its folder, overwrite another's, or take more than was allowed."""


class Refused(StorageError, Permanent):
    """The other side understood and said no, in words that none of the above fits."""


class Unreachable(StorageError, Temporary):
    """The other side is away, busy or broken."""


class Changed(StorageError, Temporary):
    """Somebody changed or removed what was being copied: a new copy may find it at rest."""
