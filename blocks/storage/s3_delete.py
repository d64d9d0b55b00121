"""Removing many objects of a container, whatever their names."""

from contextlib import suppress
from typing import TYPE_CHECKING

from blocks.storage.errors import Refused, StorageError, Unreachable
from blocks.storage.location import Location, key_fault
from blocks.storage.rounds import again
from blocks.storage.s3_errors import s3_faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

BATCH = 250
"""Keys of one request: Swift takes a second for this many, and S3 allows 1,000."""
BUSY = {"InternalError", "ServiceUnavailable", "SlowDown"}
"""What a server says of a key that it could not delete just then."""


def delete_keys(client: "S3Client", place: Location, keys: list[str]) -> None:
    """Delete objects by their full keys; one that is gone already is fine. A request that fails is made again.

    Raises:
        Refused: the server kept some; the first is named.
        Unreachable: a request failed every time, or the server kept some as it was busy.
    """
    plain: list[str] = []
    for key in keys:
        if key_fault(key.strip("/") or "/"):  # such a name may have characters that the XML of a batch cannot hold
            again(lambda key=key: _delete_one(client, place, key))
        else:
            plain.append(key)
    kept: list[ErrorTypeDef] = []
    for start in range(0, len(plain), BATCH):
        kept += again(lambda batch=plain[start : start + BATCH]: _delete_batch(client, place, batch))
    if kept:
        raise not_deleted(place, kept)


def not_deleted(place: Location, kept: "list[ErrorTypeDef]") -> StorageError:
    """Return the error for objects that the server kept: it passes where all of them are only busy."""
    first = f"{kept[0].get('Key', '')!r} ({kept[0].get('Code', '')}: {kept[0].get('Message', '')})"
    kind = Unreachable if all(error.get("Code") in BUSY for error in kept) else Refused
    return kind(f"{len(kept)} objects in {place} could not be deleted, first {first}.", "Try again.")


def _delete_one(client: "S3Client", place: Location, key: str) -> None:
    with s3_faults(place, "delete"):
        client.delete_object(Bucket=place.container, Key=key)


def _delete_batch(client: "S3Client", place: Location, batch: list[str]) -> "list[ErrorTypeDef]":
    named: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in batch]
    with s3_faults(place, "delete"):
        answer = client.delete_objects(Bucket=place.container, Delete={"Objects": named, "Quiet": True})
    return [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]


def abandon_uploads(client: "S3Client", place: Location) -> None:
    """Remove the parts of multipart uploads below `place` that somebody began and never finished."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=place.container, Prefix=place.key)
    for page in pages:
        for upload in page.get("Uploads", []):
            key, upload_id = upload.get("Key", ""), upload.get("UploadId", "")
            if key == place.key or key.startswith(place.prefix):
                with suppress(client.exceptions.NoSuchUpload):  # by a request whose answer was lost, or by another
                    client.abort_multipart_upload(Bucket=place.container, Key=key, UploadId=upload_id)
