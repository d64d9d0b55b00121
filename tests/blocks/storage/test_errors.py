"""What the vendors' errors become; the places where they happen for real are in test_folder and test_object_store."""

import errno
import os

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from s3transfer.exceptions import CancelledError, RetriesExceededError, S3DownloadFailedError

from blocks.errors import Permanent, Temporary
from blocks.storage import errors
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
from blocks.storage.location import parse
from blocks.storage.os_errors import os_faults
from blocks.storage.s3_errors import s3_faults

PLACE = parse("obs://host/data/x")


def test_every_error_is_permanent_or_temporary() -> None:
    """Retry conditions read only Permanent and Temporary, so each error is exactly one of them."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StorageError)]
    for kind in kinds:
        assert kind is StorageError or issubclass(kind, Permanent) != issubclass(kind, Temporary)


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_every_os_error_is_translated(code: int) -> None:
    """Every error number of this system becomes a StorageError with the path in it."""
    with pytest.raises(StorageError, match="obs://host/data/x"), os_faults(PLACE, "read"):
        raise OSError(code, os.strerror(code), "/file")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, NotFound),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EEXIST, AlreadyThere),
        (errno.ENAMETOOLONG, BadPath),
        (errno.ESTALE, Unreachable),
        (errno.EIO, Unreachable),
        (errno.EXDEV, Refused),
    ],
)
def test_what_an_os_error_means(code: int, kind: type[StorageError]) -> None:
    """The error numbers that happen on disks and NAS mounts have their own meaning."""
    with pytest.raises(kind), os_faults(PLACE, "read"):
        raise OSError(code, os.strerror(code), "/file")


ANSWERS = [
    (403, "AccessDenied", AccessDenied, "read and write access to the container 'data'"),
    (403, "SignatureDoesNotMatch", AccessDenied, "secrets.env"),
    (403, "RequestTimeTooSkewed", AccessDenied, "clock"),
    (401, "Unauthorized", AccessDenied, "secrets.env"),
    (404, "NoSuchBucket", NotFound, "emf storage make obs://host/data`"),
    (404, "NoSuchKey", NotFound, "Correct the path"),
    (404, "404", NotFound, "Correct the path"),
    (409, "OperationAborted", Unreachable, "Try again"),
    (409, "BucketAlreadyExists", AccessDenied, "another name"),
    (412, "PreconditionFailed", AlreadyThere, "written before"),
    (413, "EntityTooLarge", NoSpace, "quota"),
    (403, "QuotaExceeded", NoSpace, "quota"),
    (429, "TooManyRequests", Unreachable, "Try again"),
    (503, "SlowDown", Unreachable, "Try again"),
    (500, "InternalError", Unreachable, "Try again"),
    (507, "", NoSpace, "disks are full"),
    (400, "InvalidBucketName", BadPath, "'data'"),
    (400, "MalformedXML", Refused, "MalformedXML"),
    (501, "NotImplemented", Unreachable, "Try again"),
]


@pytest.mark.parametrize(("status", "code", "kind", "told"), ANSWERS)
def test_what_an_answer_of_the_server_means(status: int, code: str, kind: type[StorageError], told: str) -> None:
    """Each answer has its error, which names the path, what was tried and what to do."""
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(kind, match="Could not read obs://host/data/x") as caught, s3_faults(PLACE, "read"):
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="u"), Unreachable),
        (ConnectTimeoutError(endpoint_url="u"), Unreachable),
        (ReadTimeoutError(endpoint_url="u"), Unreachable),
        (SSLError(endpoint_url="u", error="e"), Unreachable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Unreachable),
        (RetriesExceededError(OSError("broken")), Unreachable),
        (S3DownloadFailedError("etag"), Changed),
        (ParamValidationError(report="r"), BadPath),
        (CancelledError(), Refused),
        (BotoCoreError(), Refused),
    ],
)
def test_what_happens_on_the_way(error: Exception, kind: type[StorageError]) -> None:
    """Failures without an answer are translated too."""
    with pytest.raises(kind), s3_faults(PLACE, "read"):
        raise error
