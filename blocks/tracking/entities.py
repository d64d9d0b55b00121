"""What MLflow's API calls parameters, tags and metrics: lists of keys and values within its limits. Pure."""

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

LONGEST_KEY = 250  # characters
LONGEST_TAG = 5000  # characters; newer servers take 8,000
LONGEST_VALUE = 6000  # characters
BATCH = 100  # parameters or tags in one request
METRICS = 1000  # in one request
_STRANGE = re.compile(r"[^/\w.\- :]")

Pair = dict[str, str]


class Metric(NamedTuple):
    """One value of a metric.

    Attributes:
        timestamp: milliseconds since 1970.
        step: where it stands among the others of its key.
    """

    key: str
    value: float
    timestamp: int
    step: int


def key_for(name: str) -> str:
    """Return the key under which MLflow takes a parameter or tag of this name: nearly always the name itself.

    A name that MLflow refuses (over 250 characters, other characters than letters, digits, `_ . - : /` and space, or
    one like `a//b` that is no plain path) is made plain and gets an 8-digit hash, so that two never become one.
    """
    normal = posixpath.normpath(name)
    plain = normal == name and not name.startswith((".", "/")) and not _STRANGE.search(name)
    if plain and len(name) <= LONGEST_KEY:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    legible = re.sub(r"[^\w\- ]", "_", name)[: LONGEST_KEY - len(digest) - 1]
    return f"{legible}-{digest}"


def pairs(values: Mapping[str, object], longest: int) -> list[Pair]:
    """Return keys and values as MLflow wants them, each value cut to `longest` characters."""
    return [{"key": key_for(name), "value": str(value)[:longest]} for name, value in values.items()]


def batches(entities: list[Pair]) -> Iterator[list[Pair]]:
    """Split into lists of at most 100."""
    for start in range(0, len(entities), BATCH):
        yield entities[start : start + BATCH]
