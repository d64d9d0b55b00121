"""What a checkpoint was made from: code, data, hyperparameters, image; compared when a training goes on from it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

from blocks.storage.store import Entry
from flows.markdown import size

MOST_FILES = 1000
"""Files of the code that are told apart by name; of more only that something differs is known."""
NAMED = 5
"""Files that one sentence names."""


class DataSetUsed(BaseModel):
    """A data set as it was read. Size in bytes; one that was mounted has its path alone, for nobody listed it."""

    model_config = ConfigDict(strict=True, frozen=True)
    path: str
    files: int = 0
    bytes: int = 0
    digest: str = ""

    @classmethod
    def of(cls, path: str, entries: Iterable[Entry]) -> Self:
        """Return a data set by what its storage lists: names, sizes, and ETags or times."""
        found, total, told = 0, 0, hashlib.sha256()
        for entry in entries:
            found, total = found + 1, total + entry.size
            told.update(f"{entry.key}\0{entry.size}\0{entry.etag or entry.modified.timestamp()}\n".encode())
        return cls(path=path, files=found, bytes=total, digest=told.hexdigest())


class Provenance(BaseModel):
    """What an attempt worked with. `code` has each file's sha256, up to a limit; `code_digest` is over all of them."""

    model_config = ConfigDict(strict=True, frozen=True)
    image: str
    instances: int
    hyperparameters: dict[str, str]
    code: dict[str, str]
    code_digest: str
    data_sets: dict[str, DataSetUsed]


def code_digest(code: Mapping[str, str]) -> str:
    """Return what tells one state of the code from any other."""
    return hashlib.sha256("\n".join(f"{name}\0{sha}" for name, sha in sorted(code.items())).encode()).hexdigest()


def first_files(code: Mapping[str, str]) -> dict[str, str]:
    """Return the files that are told apart by name."""
    return dict(sorted(code.items())[:MOST_FILES])


def differences(before: Provenance, now: Provenance) -> list[str]:
    """Say in what the attempt that goes on differs from the one that made the checkpoint; nothing where it does not."""
    told: list[str] = []
    if before.image != now.image:
        told.append(f"the image was {before.image}, now {now.image}")
    if before.instances != now.instances:
        told.append(f"{before.instances} instance(s) then, {now.instances} now")
    told += _values(before.hyperparameters, now.hyperparameters)
    told += _code(before, now)
    return told + _data(before.data_sets, now.data_sets)


def _values(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    told: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            told.append(f"the hyperparameter {name} ({before[name]}) is gone")
        elif name not in before:
            told.append(f"the hyperparameter {name} ({now[name]}) is new")
        elif before[name] != now[name]:
            told.append(f"the hyperparameter {name} was {before[name]}, now {now[name]}")
    return told


def _code(before: Provenance, now: Provenance) -> list[str]:
    if before.code_digest == now.code_digest:
        return []
    old, new = before.code, now.code
    both = old.keys() & new.keys()
    kinds = {
        "changed": sorted(name for name in both if old[name] != new[name]),
        "new": sorted(new.keys() - old.keys()),
        "gone": sorted(old.keys() - new.keys()),
    }
    told = [f"{_named(names)} {'is' if len(names) == 1 else 'are'} {kind}" for kind, names in kinds.items() if names]
    return [f"of the code {', '.join(told) if told else 'other files differ'}"]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _data(before: Mapping[str, DataSetUsed], now: Mapping[str, DataSetUsed]) -> list[str]:
    told: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            told.append(f"the data set {name} is {'new' if old is None else 'gone'}")
        elif old.path != new.path:
            told.append(f"the data set {name} came from {old.path}, now from {new.path}")
        elif old.digest and new.digest and old.digest != new.digest:
            told.append(f"the data set {name} had {_content(old)}, now {_content(new)}{_alike(old, new)}")
    return told


def _content(data_set: DataSetUsed) -> str:
    return f"{data_set.files} file(s) of {size(data_set.bytes)}"


def _alike(old: DataSetUsed, new: DataSetUsed) -> str:
    return " with other content" if (old.files, old.bytes) == (new.files, new.bytes) else ""
