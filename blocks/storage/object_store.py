"""`obs://`: any object store with an S3 API. Loaded only when such a path is used: boto3 takes most of a second."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from blocks.storage.endpoints import Endpoint
from blocks.storage.errors import AlreadyThere, BadPath, NotFound, Unsafe
from blocks.storage.landing import make_room, plan, wanted
from blocks.storage.location import Location
from blocks.storage.os_errors import os_faults
from blocks.storage.probe import CONTENT, write_read_remove
from blocks.storage.rounds import again
from blocks.storage.s3_client import PART_TRIES, connect
from blocks.storage.s3_delete import abandon_uploads, delete_keys
from blocks.storage.s3_errors import s3_faults
from blocks.storage.s3_transfer import CHUNK, COPYING, fetch, send
from blocks.storage.store import READ_LIMIT, Entry, Meter, Progress, Transfer
from blocks.storage.upload import sources

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, ListObjectsV2OutputTypeDef

PAGE = 1000
"""Objects of one answer to a list: as many as S3 gives."""
_MARK = "emf-write"  # the name of a header that tells a write from every other


class ObjectStore:
    """One endpoint; its client is shared by all threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = connect(endpoint)

    def entries(self, place: Location) -> Iterator[Entry]:
        """Yield every object below the folder, or the one object; `NotFound` without its container."""
        yield from self._found(place)[1]

    def stat(self, place: Location) -> Entry | None:
        """Return the one object at `place`, or None; an empty object that stands for a folder is none."""
        if place.is_folder:
            return None
        with s3_faults(place, "look at"):
            try:
                head = self._client.head_object(Bucket=place.container, Key=place.key)
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == 404:
                    return None
                if status == 403:  # the answer to HEAD has no body: a list's says whether it is the keys or the rights
                    self._client.list_objects_v2(Bucket=place.container, Prefix=place.key, MaxKeys=1)
                raise
        if head["ContentLength"] == 0 and self._stands_for_a_folder(place, head):
            return None
        return Entry(place.name, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"].astimezone(UTC))

    def read(self, place: Location, limit: int = READ_LIMIT) -> bytes:
        """Return an object's content."""
        if place.is_folder:
            raise BadPath(f"{place} is a folder, so it cannot be read as a file.", "Name a file in it.")
        with s3_faults(place, "read"):
            answer = self._client.get_object(Bucket=place.container, Key=place.key)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    size = answer["ContentLength"]
                    raise Unsafe(f"{place} has {size} bytes; {limit} may be read at once.", "Download it instead.")
                return body.read()

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        """Write an object at once or not at all."""
        if place.is_folder:
            raise BadPath(f"{place} is a folder, so no file can be written to it.", "Name a file in it.")
        mark = uuid.uuid4().hex
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_if_absent else {}
        try:
            with s3_faults(place, "write"):
                self._client.put_object(
                    Bucket=place.container, Key=place.key, Body=data, Metadata={_MARK: mark}, **condition
                )
        except AlreadyThere as error:
            # boto3 sends again when an answer was lost, and then meets what it wrote itself
            if not self._is_marked(place, mark):
                raise AlreadyThere(f"{place} was written before, and only the first may write it.") from error
            return
        # Swift looks before it writes: two that come in the same instant both pass, and the later one stays
        if only_if_absent and not self._is_marked(place, mark):
            raise AlreadyThere(f"{place} was written by another in the same instant, and only one may write it.")

    def download(
        self,
        place: Location,
        folder: Path,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy everything below `place` into `folder`."""
        base, entries = self._found(place)
        landings = plan(place, wanted(entries, skip), folder)
        if not landings:
            raise _nothing_at(place)
        with os_faults(folder, "download to"):
            make_room(landings, folder)
        total = sum(landing.entry.size for landing in landings)
        largest = max(landing.entry.size for landing in landings)
        fetch(self._for(largest), place, base, landings, Meter(total, progress))
        return Transfer(len(landings), total)

    def upload(
        self,
        source: Path,
        place: Location,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy a folder's content below `place`, or one file to it."""
        with os_faults(source, "upload"):
            chosen, skipped = sources(source, place, skip)
        total = sum(item.size for item in chosen)
        largest = max((item.size for item in chosen), default=0)
        send(self._for(largest), place, chosen, Meter(total, progress))
        return Transfer(len(chosen), total, tuple(skipped))

    def copy(self, source: Location, target: Location) -> None:
        """Have the server copy an object; a large one in parts, each within the time that an answer may take.

        One that fails for a moment is made again: it is one of many that all have to be there.
        """

        def once() -> None:
            with s3_faults(source, f"copy to {target}"):
                self._client.copy(
                    {"Bucket": source.container, "Key": source.key}, target.container, target.key, Config=COPYING
                )

        again(once)

    def delete(self, place: Location) -> None:
        """Remove the object, everything below it, and the parts of uploads that were never finished."""
        if not place.key:
            raise Unsafe(f"{place} is a whole container, which is never deleted.", "Name a folder in it.")
        with s3_faults(place, "delete"):
            abandon_uploads(self._client, place)
        below = [place.prefix + key for key, _ in self._listed(place)]
        delete_keys(self._client, place, below if place.is_folder else [place.key, *below])

    def probe(self, place: Location, write: bool) -> None:
        """List and read a byte of one object; or write, read and remove one."""
        if write:
            self._probe_write(place)
            return
        base, entries = self._found(place)
        first = next(entries, None)
        if first is None:
            raise _nothing_at(place)
        if first.size:
            with s3_faults(place, f"read {first.key!r} in"):
                answer = self._client.get_object(Bucket=place.container, Key=base + first.key, Range="bytes=0-0")
                with closing(answer["Body"]) as body:
                    body.read()

    def ensure_container(self, place: Location) -> None:
        """Make the container unless it is there."""
        place_of_it: dict[str, Any] = {}
        if self._endpoint.region != "us-east-1":  # the one that S3 refuses to be told
            place_of_it["CreateBucketConfiguration"] = {"LocationConstraint": self._endpoint.region}
        with s3_faults(place, "make the container of"):
            try:
                self._client.create_bucket(Bucket=place.container, **place_of_it)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                    raise

    def _probe_write(self, place: Location) -> None:
        if self.stat(place):
            raise BadPath(f"{place} is a file, so nothing can be written below it.", "Name a folder.")
        file = place / f".emf-probe-{uuid.uuid4().hex}"
        name: dict[str, Any] = {"Bucket": file.container, "Key": file.key}

        def write() -> None:
            with s3_faults(place, "write below"):
                self._client.put_object(**name, Body=CONTENT)

        def read() -> None:
            with s3_faults(place, "read what was written below"):
                self._client.get_object(**name)["Body"].read()

        def remove() -> None:
            with s3_faults(place, "delete what was written below"):
                self._client.delete_object(**name)

        write_read_remove(write, read, remove)

    def _for(self, largest: int) -> "S3Client":
        """Return the client for files of up to so many bytes."""
        return self._for_parts if largest > CHUNK else self._client

    @cached_property
    def _for_parts(self) -> "S3Client":
        return connect(self._endpoint, PART_TRIES)

    def _found(self, place: Location) -> tuple[str, Iterator[Entry]]:
        """Return what goes before each entry's key to make the object's, and the entries, markers of folders aside."""
        single = self.stat(place)
        if single:
            return place.key.removesuffix(place.name), iter([single])
        return place.prefix, (entry for key, entry in self._listed(place) if key and not key.endswith("/"))

    def _listed(self, place: Location) -> Iterator[tuple[str, Entry]]:
        """Yield each object's key relative to the folder, also of those that stand for a folder."""
        for page in self._pages(place):
            for item in page.get("Contents", []):
                # the stubs say that every field may be missing; the API says that these four never are
                known = cast("dict[str, Any]", item)
                modified: datetime = known["LastModified"]
                key = str(known["Key"]).removeprefix(place.prefix)
                yield key, Entry(key, int(known["Size"]), str(known["ETag"]).strip('"'), modified.astimezone(UTC))

    def _pages(self, place: Location) -> Iterator["ListObjectsV2OutputTypeDef"]:
        """Yield the pages of a list; one that fails after others is asked for again, as a long list has many."""

        def ask(**after: Any) -> "ListObjectsV2OutputTypeDef":
            with s3_faults(place, "list"):
                return self._client.list_objects_v2(Bucket=place.container, Prefix=place.prefix, MaxKeys=PAGE, **after)

        page = ask()
        yield page
        while page.get("IsTruncated"):
            page = again(lambda token=page["NextContinuationToken"]: ask(ContinuationToken=token))
            yield page

    def _stands_for_a_folder(self, place: Location, head: "HeadObjectOutputTypeDef") -> bool:
        return head.get("ContentType", "").startswith("application/directory") or any(self._listed(place))

    def _is_marked(self, place: Location, mark: str) -> bool:
        with s3_faults(place, "look at"):
            head = self._client.head_object(Bucket=place.container, Key=place.key)
            return head["Metadata"].get(_MARK) == mark


def _nothing_at(place: Location) -> NotFound:
    return NotFound(f"{place} holds no files.", "Correct the path, or put the files there first.")
