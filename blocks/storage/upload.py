"""What an upload takes: which files, and which location each gets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blocks.storage.errors import BadPath
from blocks.storage.location import Location
from blocks.storage.walk import walk


@dataclass(frozen=True)
class Source:
    """One file to send; `size` in bytes."""

    path: Path
    place: Location
    size: int


def sources(source: Path, place: Location, skip: Callable[[str], bool] | None) -> tuple[list[Source], list[str]]:
    """Return the files to send with their locations, and what is left out as `path: reason`.

    Raises:
        OSError: `source` is not there or cannot be listed.
    """
    if source.is_dir():
        chosen: list[Source] = []
        left_out: list[str] = []
        for found in walk(source, source, lambda key, reason: left_out.append(f"{key}: {reason}"), skip):
            try:
                chosen.append(Source(found.path, place / found.key, found.status.st_size))
            except BadPath as error:
                left_out.append(f"{found.key}: {error.problem}")
        return chosen, left_out
    size = source.stat().st_size
    return [Source(source, place / source.name if place.is_folder else place, size)], []
