"""Where each object of a download lands on this machine's disk. What a server lists is hostile until checked here."""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from blocks.storage.errors import NoSpace, Unsafe
from blocks.storage.location import Location, key_fault
from blocks.storage.store import Entry

NAME_LIMIT = 255
"""Bytes of one name on this machine's file systems."""


@dataclass(frozen=True)
class Landing:
    """One file to fetch, and where to."""

    entry: Entry
    target: Path


def wanted(entries: Iterable[Entry], skip: Callable[[str], bool] | None) -> Iterable[Entry]:
    """Return the entries that are not skipped."""
    return entries if skip is None else (entry for entry in entries if not skip(entry.key))


def plan(place: Location, entries: Iterable[Entry], folder: Path) -> list[Landing]:
    """Return where each entry lands below `folder`.

    Empty objects that stand for a folder (as some consoles make them) are left out.

    Raises:
        Unsafe: a key that would leave the folder, that no file can have, that comes twice, or that is a file and a
            folder at once. It is named; nothing has been written.
    """
    listed = list(entries)
    parents = {parent for entry in listed for parent in _parents(entry.key)}
    files = [entry for entry in listed if not (entry.size == 0 and entry.key in parents)]
    seen: set[str] = set()
    for entry in files:
        fault = _fault(entry.key)
        if fault is None and entry.key in parents:
            fault = "is a file, and a folder of other files"
        if fault is None and entry.key in seen:
            fault = "is listed twice"
        if fault:
            raise Unsafe(f"{entry.key!r} in {place} {fault}, so it cannot be copied to a disk.", "Rename or remove it.")
        seen.add(entry.key)
    return [Landing(entry, folder / entry.key) for entry in files]


def make_room(landings: list[Landing], folder: Path) -> None:
    """Make the folders of the landings.

    Raises:
        NoSpace: the disk has less free space than the files need.
        Unsafe: a link that stands in `folder` would lead a file out of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(landing.entry.size for landing in landings), shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpace(f"{needed} bytes do not fit into {folder}, whose disk has {free} free.", "Free or add space.")
    root = folder.resolve()
    for parent in sorted({landing.target.parent for landing in landings}):
        if not parent.resolve().is_relative_to(root):
            raise Unsafe(f"{parent} is a link that leaves {folder}.", "Copy into an empty folder.")
        parent.mkdir(parents=True, exist_ok=True)


def _parents(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _fault(key: str) -> str | None:
    if key_fault(key):
        return "is no relative path of plain names"
    if any(len(os.fsencode(part)) > NAME_LIMIT for part in key.split("/")):
        return f"has a name of more than {NAME_LIMIT} bytes"
    return None
