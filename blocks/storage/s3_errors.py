"""The one place where what boto3 raises becomes a `StorageError`."""

from collections.abc import Generator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from s3transfer.exceptions import CancelledError, RetriesExceededError, S3DownloadFailedError, S3UploadFailedError

from blocks.storage.errors import (
    AccessDenied,
    AlreadyThere,
    BadPath,
    Changed,
    NoSpace,
    NotFound,
    Refused,
    StorageError,
    Unreachable,
)
from blocks.storage.location import Location

# `HTTPClientError` covers time-outs, closed connections and TLS; the others come from the middle of a body.
_AWAY = (BotoConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError, RetriesExceededError)
_OURS = (BotoCoreError, ClientError, Boto3Error, CancelledError, *_AWAY, S3DownloadFailedError, S3UploadFailedError)
_LATER = "Try again later."
_KEYS = "The keys for {endpoint} are wrong: set them again in EMF_HOME/secrets.env."
_GRANT = (
    "Give the account that the platform uses at {endpoint} read and write access to the container {container!r}, "
    "or name a container that it owns."
)
_MAKE = "Make it: `emf storage make obs://{endpoint}/{container}`, or correct the path."
_ROOM = "Delete what is not needed, or raise the quota."
_Meaning = tuple[type[StorageError], str, str]
_BY_CODE: dict[str, _Meaning] = {
    "NoSuchBucket": (NotFound, "there is no container {container!r}", _MAKE),
    "SignatureDoesNotMatch": (AccessDenied, "it does not accept our keys", _KEYS),
    "InvalidAccessKeyId": (AccessDenied, "it does not know our access key", _KEYS),
    "AuthorizationHeaderMalformed": (AccessDenied, "it expects another region", "Set the region of {endpoint}."),
    "RequestTimeTooSkewed": (AccessDenied, "its clock and ours differ", "Set this machine's clock."),
    "RequestTimeout": (Unreachable, "it waited too long for us", _LATER),
    "ConditionalRequestConflict": (Unreachable, "somebody else wrote at the same time", _LATER),
    "OperationAborted": (Unreachable, "somebody else wrote at the same time", _LATER),
    "QuotaExceeded": (NoSpace, "its quota is used up", _ROOM),
    "BucketAlreadyExists": (AccessDenied, "somebody else owns the container {container!r}", "Choose another name."),
    "KeyTooLongError": (BadPath, "the path is too long", "Shorten it."),
    "InvalidBucketName": (BadPath, "it allows no container {container!r}", "Choose another name."),
}
_BY_STATUS: dict[int, _Meaning] = {
    401: (AccessDenied, "it does not accept our keys", _KEYS),
    403: (AccessDenied, "it refuses", _GRANT),
    404: (NotFound, "it is not there", "Correct the path, or put the files there first."),
    412: (AlreadyThere, "it was written before, or changed meanwhile", ""),
    413: (NoSpace, "too large for its quota", _ROOM),
    429: (Unreachable, "it is busy", _LATER),
    507: (NoSpace, "its disks are full", _ROOM),
}


@contextmanager
def s3_faults(place: Location, action: str) -> Generator[None]:
    """Raise what goes wrong inside as a `StorageError`; `action` is a verb: `could not {action} {place}`."""
    try:
        yield
    except _OURS as error:
        raise translate(error, place, action) from error


def translate(error: Exception, place: Location, action: str) -> StorageError:
    """Return the `StorageError` that says what one of boto3's exceptions means for `place`."""
    failed = f"Could not {action} {place}"
    if isinstance(error, ClientError):
        return _from_answer(error, place, failed)
    if isinstance(error, _AWAY):
        return Unreachable(f"{failed}: {place.endpoint} does not answer ({type(error).__name__}).", "Try again later.")
    if isinstance(error, S3DownloadFailedError):
        return Changed(f"{failed}: it changed meanwhile ({error}).", "Try again.")
    if isinstance(error, ParamValidationError):
        return BadPath(f"{failed}: {error}.")
    return Refused(f"{failed}: {error or type(error).__name__}.")


def _from_answer(error: ClientError, place: Location, failed: str) -> StorageError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    otherwise = (Unreachable, "it is in trouble", _LATER) if status >= 500 else (Refused, "it refuses", "")
    kind, what, remedy = _BY_CODE.get(code) or _BY_STATUS.get(status) or otherwise
    words = {"endpoint": place.endpoint, "container": place.container}
    said = f"{place.endpoint} answered {status} {code}".rstrip()
    return kind(f"{failed}: {what.format(**words)} ({said}).", remedy.format(**words))
