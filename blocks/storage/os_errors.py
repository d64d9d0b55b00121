"""The one place where an `OSError` becomes a `StorageError`."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from blocks.storage.errors import (
    AccessDenied,
    AlreadyThere,
    BadPath,
    NoSpace,
    NotFound,
    Refused,
    StorageError,
    Unreachable,
)

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRONG = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL}
_AWAY = {
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENOTCONN,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
}


@contextmanager
def os_faults(place: object, action: str) -> Generator[None]:
    """Raise what goes wrong inside as a `StorageError`; `action` is a verb: `could not {action} {place}`."""
    try:
        yield
    except OSError as error:
        raise translate(error, place, action) from error


def translate(error: OSError, place: object, action: str) -> StorageError:
    """Return the `StorageError` that says what an operating system's error means for `place`."""
    at = f" (at {error.filename})" if error.filename else ""
    problem = f"Could not {action} {place}: {error.strerror or error}{at}."
    code = error.errno
    if code == errno.ENOENT:
        return NotFound(problem, "Correct the path, or put the files there first.")
    if code in _DENIED:
        return AccessDenied(problem, f"Grant it to the user {_user()} that the platform runs as (chown, chmod, mount).")
    if code in _FULL:
        return NoSpace(problem, "Free or add space, or raise the quota.")
    if code == errno.EEXIST:
        return AlreadyThere(problem)
    if code in _WRONG:
        return BadPath(problem, "Name a folder whose parts are folders, with shorter names if they are too long.")
    return Unreachable(problem, "Try again once the mount answers.") if code in _AWAY else Refused(problem)


def _user() -> str:
    return f"{os.geteuid()} (group {os.getegid()})"
