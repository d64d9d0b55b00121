"""What is wrong with a request, in its sender's words: every fault at once, each with what would be right.

Pure. A lifecycle collects `Fault`s from its fields, its catalogue and its places, and raises them as one `Refused`.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from flows.markdown import rows, sentence

Model = TypeVar("Model", bound=BaseModel)

SHOWN_CHARACTERS = 80
SHOWN_FAULTS = 200


class Absent(Enum):
    """The value of a field that was not given."""

    ABSENT = "not given"


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where, which value, what about it, and what would be right."""

    field: str
    value: object
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return one readable line."""
        value = _shown_if_given(self.value)
        of = f" ({value})" if value else ""
        return one_line(f"{self.field}{of}: {self.problem}. {self.remedy}".rstrip())


class Refused(Exception):
    """A request that cannot be carried out as it is; `faults` holds all that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]):
        self.faults = list(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        """Return all faults as a numbered list."""
        many = "1 thing is wrong" if len(self.faults) == 1 else f"{len(self.faults)} things are wrong"
        lines = [f"{number}. {fault}" for number, fault in enumerate(self.faults[:SHOWN_FAULTS], 1)]
        return "\n".join([f"The request was refused, nothing was made: {many}.", *lines, *_rest(self.faults)])


def to_markdown(faults: Collection[Fault]) -> str:
    """Return the faults as a Markdown table; what the sender wrote cannot become markup in it."""
    told = [
        [sentence(one_line(text)) for text in (f.field, _shown_if_given(f.value), f.problem, f.remedy)]
        for f in list(faults)[:SHOWN_FAULTS]
    ]
    return rows(("field", "value", "what is wrong", "what would be right"), told)


def shown(value: object) -> str:
    """Return a value as it is shown: at most 80 characters, on one line, nothing invisible."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    # Slicing before repr: a value may be as large as its sender likes.
    try:
        text = repr(value[: SHOWN_CHARACTERS * 2] if isinstance(value, str | bytes) else value)
    except ValueError:  # a number inside that Python will not write
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def one_line(text: str) -> str:
    """Return the text with every character that would break or hide a line written as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, letters' case and `-` for `_` aside."""
    plain = {candidate.casefold().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(name[:300].casefold().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def choices(name: str, known: Collection[str]) -> str:
    """Return the remedy for an unknown name: the nearest known one, or all of them."""
    near = nearest(name, known)
    return f"Did you mean `{near}`?" if near else f"Give one of: {', '.join(known) or 'there is none yet'}."


def wrong(problem: str, remedy: str, hide_value: bool = False) -> PydanticCustomError:
    """Return what a field's validator raises, so that both sentences reach the sender unchanged."""
    kind = "hidden_fault" if hide_value else "fault"
    return PydanticCustomError(kind, "{problem}. {remedy}", {"problem": problem, "remedy": remedy})


def wrong_together(faults: list[Fault]) -> PydanticCustomError:
    """Return what a model's validator raises for rules over several fields."""
    return PydanticCustomError("faults", "{text}", {"text": "; ".join(map(str, faults)), "faults": faults})


def from_validation_error(error: ValidationError, model: type[BaseModel] | None = None) -> list[Fault]:
    """Translate pydantic's faults; the model, where given, tells which names an unknown one may have meant."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False):
        faults += detail.get("ctx", {}).get("faults") or [_translated(detail, model)]
    return faults


def validated(model: type[Model], raw: Mapping[str, object], more: Iterable[Fault] = ()) -> Model:
    """Return the model that the raw request makes; `more` are the faults that its rules over several fields found.

    Raises:
        Refused: with every fault, in the order of the model's fields.
    """
    if faults := all_faults(model, raw, more):
        raise Refused(faults)
    return model.model_validate(dict(raw))


def all_faults(model: type[BaseModel], raw: Mapping[str, object], more: Iterable[Fault] = ()) -> list[Fault]:
    """Return every fault of a raw request, each once, in the order of the model's fields."""
    try:
        model.model_validate(dict(raw))
        found: list[Fault] = []
    except ValidationError as error:
        found = from_validation_error(error, model)
    once = {(fault.field, fault.problem): fault for fault in [*found, *more]}
    places = {field: place for place, field in enumerate(model.model_fields)}
    return sorted(once.values(), key=lambda fault: places.get(re.split(r"[.,\[]", fault.field)[0], len(places)))


def _translated(detail: ErrorDetails, model: type[BaseModel] | None) -> Fault:
    kind, loc, value, context = detail["type"], detail["loc"], detail["input"], detail.get("ctx", {})
    field = field_name(loc, model)
    if kind == "extra_forbidden":
        known = _names_at(model, loc)
        return Fault(field, value, "there is no such field", choices(str(loc[-1]), known) if known else "Leave it out.")
    if kind == "missing":
        return Fault(field, ABSENT, "is missing", "Give it.")
    if kind in ("fault", "hidden_fault"):
        value = ABSENT if kind == "hidden_fault" else value
        return Fault(field, value, str(context["problem"]), str(context["remedy"]))
    if kind in ("too_long", "too_short"):
        return number_of_entries(field, cast("Collection[object]", value), context)
    if kind in _WORDS:
        problem, remedy = (text.format(**context) for text in _WORDS[kind])
        return Fault(field, value, problem, remedy)
    message = detail["msg"].removeprefix("Value error, ").removesuffix(".")
    return Fault(field, value, message[:1].lower() + message[1:], "")


_WHOLE_NUMBER = ("is not a whole number", "Give a whole number.")
_YES_NO = ("is neither yes nor no", "Give true or false.")
_LIST = ("is not a list", "Give a list, as in [ … ].")
_PAIRS = ("is not a set of names and values", 'Give names and values, as in {{"name": "value"}}.')
_WORDS = {
    "string_type": ("is not text", "Give text, in quotes."),
    "string_unicode": ("is not valid text", "Give text in UTF-8."),
    "string_too_long": ("is too long", "Give at most {max_length} characters."),
    "string_too_short": ("is too short", "Give at least {min_length} characters."),
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "finite_number": _WHOLE_NUMBER,
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _PAIRS,
    "model_type": _PAIRS,
    "invalid_key": ("is not a name", "Give a name as text."),
    "greater_than_equal": ("is too small", "Give at least {ge}."),
    "greater_than": ("is too small", "Give more than {gt}."),
    "less_than_equal": ("is too large", "Give at most {le}."),
    "less_than": ("is too large", "Give less than {lt}."),
    "enum": ("is not one of the choices", "Give {expected}."),
    "literal_error": ("is not one of the choices", "Give {expected}."),
}


def number_of_entries(field: str, value: Collection[object], bounds: Mapping[str, object]) -> Fault:
    """Return the fault of a collection with more entries than `max_length`, or fewer than `min_length`."""
    remedy = (
        f"Give at most {bounds['max_length']}." if "max_length" in bounds else f"Give at least {bounds['min_length']}."
    )
    return Fault(field, ABSENT, f"has {len(value)} entries", remedy)


def field_name(loc: Iterable[int | str], model: type[BaseModel] | None = None) -> str:
    """Write a place in a request as its sender would: `data_sets[2].path`, `tags['team']`, `name`."""
    name = ""
    for part in loc:
        if part == "[key]":  # pydantic's mark for "the key, not its value"
            continue
        if isinstance(part, str) and not name:
            name = part if len(part) <= SHOWN_CHARACTERS else shown(part)
        else:
            name += f".{part}" if model and part in model.model_fields else f"[{shown(part)}]"
        model = _model_at(model, part)
    return name or "the request"


def _model_at(model: type[BaseModel] | None, part: int | str) -> type[BaseModel] | None:
    """Return the model that a part of a place leads to; an entry of a list is still its field's model."""
    if model is None or isinstance(part, int):
        return model
    field = model.model_fields.get(part)
    return next(_models_in(field.annotation), None) if field else None


def _names_at(model: type[BaseModel] | None, loc: tuple[int | str, ...]) -> list[str]:
    """Return the fields of the model that holds the last part of the place."""
    for part in loc[:-1]:
        model = _model_at(model, part)
    return list(model.model_fields) if model else []


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models_in(get_args(annotation)[0])
    else:
        for inner in get_args(annotation):
            yield from _models_in(inner)


def _rest(faults: Collection[Fault]) -> list[str]:
    return [f"… and {len(faults) - SHOWN_FAULTS} more."] if len(faults) > SHOWN_FAULTS else []


def _shown_if_given(value: object) -> str:
    return "" if value is ABSENT else shown(value)
