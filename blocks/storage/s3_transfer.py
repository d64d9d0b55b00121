"""Copying many objects at once between an object store and this machine's disk."""

import math
import uuid
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager

from blocks.storage.errors import Changed
from blocks.storage.landing import Landing
from blocks.storage.location import Location
from blocks.storage.os_errors import os_faults
from blocks.storage.rounds import Left, in_rounds
from blocks.storage.s3_errors import s3_faults
from blocks.storage.s3_round import Count, one_round
from blocks.storage.store import THREADS, Meter
from blocks.storage.upload import Source
from blocks.storage.walk import PARTIAL

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
CHUNK = 32 * MIB
"""Bytes of one part at the least."""
PARTS = 1000
"""Parts that one object may have at the most, Swift's default."""
COPYING = TransferConfig(multipart_threshold=256 * MIB, multipart_chunksize=256 * MIB, max_concurrency=4)
"""For copies on the server: 256 GB at the most, and no part takes longer than an answer may."""


def chunk(size: int) -> int:
    """Return the bytes of each part of an object of `size` bytes: at most 1,000 parts, none below 32 MiB."""
    return max(CHUNK, math.ceil(size / PARTS))


def fetch(client: "S3Client", place: Location, base: str, landings: list[Landing], meter: Meter) -> None:
    """Download each landing's object, first to a temporary name; its folder is there already.

    Args:
        client: of the endpoint of `place`.
        place: what is downloaded, for messages and its container.
        base: what goes before each landing's key to make the object's.
        landings: what to fetch, and where to.
        meter: told of every byte.

    Raises:
        Changed: an object has another size than it was listed with.
    """

    def faults(landing: Landing) -> AbstractContextManager[None]:
        return _faults(place, f"download {landing.entry.key!r} from")

    def once(left: list[Landing]) -> Left[Landing]:
        with _manager(client, place, "download", CHUNK) as manager:

            def begin(landing: Landing, count: Count) -> Any:
                key = base + landing.entry.key
                return manager.download(place.container, key, str(landing.target), subscribers=[count])

            return one_round(left, begin, faults, meter)

    in_rounds([landing for landing in landings if landing.entry.size], once)
    for landing in landings:
        with os_faults(landing.target, "write"):
            if not landing.entry.size:  # no range of an empty object can be asked for
                _write_empty(landing.target)
            found = landing.target.stat().st_size
        if found != landing.entry.size:
            listed = f"{landing.entry.size} bytes were listed"
            raise Changed(f"{landing.entry.key!r} in {place} has {found} bytes, {listed}.", "Try again.")


def _write_empty(target: Path) -> None:
    """Put an empty file where there may be another, or a link, as every other file of a download is put."""
    partial = target.with_name(f".{uuid.uuid4().hex}{PARTIAL}")
    partial.touch(exist_ok=False)
    partial.replace(target)


def send(client: "S3Client", place: Location, chosen: list[Source], meter: Meter) -> None:
    """Upload each file to its location.

    Raises:
        Changed: a file went away meanwhile.
    """

    def once(left: list[Source]) -> Left[Source]:
        largest = max((source.size for source in left), default=0)
        with _manager(client, place, "upload to", chunk(largest)) as manager:

            def begin(source: Source, count: Count) -> Any:
                to = source.place
                return manager.upload(str(source.path), to.container, to.key, subscribers=[count])

            return one_round(left, begin, _sending, meter)

    in_rounds(chosen, once)


@contextmanager
def _sending(source: Source) -> Generator[None]:
    with _faults(source.place, f"upload {source.path} to"):
        try:
            yield
        except FileNotFoundError as error:
            raise Changed(f"{source.path} went away while it was being uploaded.", "Try again.") from error


@contextmanager
def _faults(place: Location, action: str) -> Generator[None]:
    with s3_faults(place, action), os_faults(place, action):
        yield


@contextmanager
def _manager(client: "S3Client", place: Location, action: str, part: int) -> Generator[Any]:
    """Yield s3transfer's manager; what is still under way when something fails is cancelled and cleaned up."""
    config = TransferConfig(
        multipart_threshold=part,
        multipart_chunksize=part,
        max_concurrency=THREADS,
        preferred_transfer_client="classic",
    )
    with _faults(place, action), create_transfer_manager(client, config) as manager:
        yield manager
