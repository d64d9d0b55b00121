"""Removing many objects of a container, whatever their names."""

from typing import TYPE_CHECKING

from blocks.storage.errors import Refused
from blocks.storage.location import Location, key_fault

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

BATCH = 250
"""Keys of one request: Swift takes a second for this many, and S3 allows 1,000."""


def delete_keys(client: "S3Client", place: Location, keys: list[str]) -> None:
    """Delete objects by their full keys; one that is gone already is fine.

    Raises:
        Refused: the server kept some; the first is named.
        botocore's errors: `s3_faults` must be around this.
    """
    plain: list[str] = []
    for key in keys:
        if key_fault(key.strip("/") or "/"):  # such a name may have characters that the XML of a batch cannot hold
            client.delete_object(Bucket=place.container, Key=key)
        else:
            plain.append(key)
    kept: list[ErrorTypeDef] = []
    for start in range(0, len(plain), BATCH):
        batch: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in plain[start : start + BATCH]]
        answer = client.delete_objects(Bucket=place.container, Delete={"Objects": batch, "Quiet": True})
        kept += [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]
    if kept:
        first = f"{kept[0].get('Key', '')!r} ({kept[0].get('Code', '')}: {kept[0].get('Message', '')})"
        raise Refused(f"{len(kept)} objects in {place} could not be deleted, first {first}.", "Try again.")


def abandon_uploads(client: "S3Client", place: Location) -> None:
    """Remove the parts of multipart uploads below `place` that somebody began and never finished."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=place.container, Prefix=place.key)
    for page in pages:
        for upload in page.get("Uploads", []):
            key, upload_id = upload.get("Key", ""), upload.get("UploadId", "")
            if key == place.key or key.startswith(place.prefix):
                client.abort_multipart_upload(Bucket=place.container, Key=key, UploadId=upload_id)
