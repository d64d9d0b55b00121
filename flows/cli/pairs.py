"""`key=value` words, and the refusal of those that are none: together with all that is wrong beside them."""

from collections.abc import Callable, Iterable, Sequence

from blocks.errors import BlockError
from flows.faults import ABSENT, Fault, Refused


def read(texts: Sequence[str], field: str) -> tuple[dict[str, str], list[Fault]]:
    """Return what the words say, and a fault for each that has no `=` or whose key stood there before."""
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            faults.append(Fault(field, text, "has no =", "Write key=value."))
            continue
        if key in found:
            faults.append(Fault(field, text, f"{key!r} is given twice", "Give each key once."))
        found[key] = value
    return found, faults


def refusal(faults: Iterable[Fault], check_rest: Callable[[], object]) -> Refused:
    """Return the refusal of words that could not be read, with the faults that a check of all else raises."""
    try:
        check_rest()
    except Refused as error:
        return Refused([*faults, *error.faults])
    except BlockError as error:
        return Refused([*faults, Fault("the rest", ABSENT, f"cannot be checked: {str(error).rstrip('.')}", "")])
    return Refused(faults)
