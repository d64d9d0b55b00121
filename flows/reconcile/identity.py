"""Whether the records are those of this machine's folder: with others, all that is here would look like nobody's.

The records have an id, made with their tables; EMF_HOME takes it in the file `platform-id`, and keeps it.
"""

import os
import re
from pathlib import Path

from blocks.platform import Platform
from blocks.records import identity, survey

FILE = "platform-id"
OF_TRAINING = re.compile(r"(tr-[0-9a-f]{12})(-a[1-9][0-9]*)?")


def disagreement(platform: Platform, *, take: bool = True) -> str:
    """Say why these records may not be those of this folder, and what to do about it; "" where they are.

    Args:
        platform: whose folder, and whose records.
        take: let a folder that has no id take that of the records, where nothing in it speaks against that.
    """
    file, theirs = platform.settings.home / FILE, _recorded(platform)
    own = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    if own and own == theirs:
        return ""
    if own:
        return _told(file, theirs, f"they are of the platform {theirs or '(none)'}, not of {own}")
    there = _trainings_in(platform.settings.home)
    with platform.records.reading() as session:
        known = survey.trainings_among(session, there)
    if there and not known:
        some = ", ".join(sorted(there)[:3])
        return _told(file, theirs, f"they know none of the {len(there)} training(s) that have folders here ({some})")
    if take and theirs:
        _write(file, theirs)
    return ""


def _recorded(platform: Platform) -> str:
    with platform.records.reading() as session:
        return identity.platform_id(session)


def _told(file: Path, theirs: str, why: str) -> str:
    return (
        f"The records seem not to be those of {file.parent}: {why}. Nothing that they do not know is ended, closed or "
        "removed. If EMF_RECORDS_URL was forgotten or is wrong: `emf down`, set it, `emf up`. "
        f"If these records are the right ones: `echo {theirs} > {file}`."
    )


def _trainings_in(home: Path) -> set[str]:
    """Return the ids of the trainings that have a folder on this machine."""
    roots = [home / "work", home / "kept", home / "logs" / "trainings"]
    names = [folder.name for root in roots if root.is_dir() for folder in root.iterdir()]
    return {found[1] for name in names if (found := OF_TRAINING.fullmatch(name))}


def _write(file: Path, text: str) -> None:
    """Write the file whole: two may do so at once, and a power cut must leave all of it or none."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(f"{text}\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
