"""Text that has no UTF-8: half of a surrogate pair, as JSON can write it and a terminal's odd byte becomes one.

Neither the records nor Prefect can take it, so it is refused before either is asked.
"""

from collections.abc import Iterator, Mapping
from typing import cast

from flows.faults import Fault, field_name


def utf8_faults(parameters: Mapping[str, object]) -> list[Fault]:
    """Return a fault for each text, however deep it stands, that cannot be written in UTF-8."""
    return [
        Fault(field_name(place), text, "is not text in UTF-8", "Write it in UTF-8.")
        for place, text in _texts(parameters, ())
        if not _has_utf8(text)
    ]


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: object, place: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[object, object]", value).items():
            below = (*place, str(key))
            if isinstance(key, str):
                yield below, key
            yield from _texts(inner, below)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from _texts(inner, (*place, index))
