"""The fields of a training and their limits: what a hyperparameter, a data set, an entry point may be called.

A name becomes the end of an environment variable: upper case, `-` and `.` written as `_`. So `learning-rate` is
`--learning-rate` to argparse and `EM_HP_LEARNING_RATE` in the environment, and `learning_rate` beside it is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from flows.faults import ABSENT, Fault, number_of_entries, shown, wrong
from flows.names import TEXT_CHARACTERS, PathText, as_written, composed, text_problems

MOST_HYPERPARAMETERS = 100
MOST_DATA_SETS = 10
KEY_CHARACTERS = 255
VALUE_CHARACTERS = 1000
DATA_SET_CHARACTERS = 36
MOST_SECONDS = 720 * 3600
LEAST_SECONDS = 60
# Linux takes at most 128 KiB in one environment variable, and EM_HPS holds all hyperparameters.
HYPERPARAMETERS_BYTES = 131_000

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TIME = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,7})m)?")
_TIME_REMEDY = "Give 1m to 720h, as in 720h, 90m or 1h30m."


def environment_name(name: str) -> str:
    """Return how a hyperparameter or a data set is called in the environment, after EM_HP_ or EM_DATASET_."""
    return re.sub(r"[.-]", "_", name).upper()


def hyperparameters_json(hyperparameters: Mapping[str, str]) -> str:
    """Return what EM_HPS holds: letters as they are, so that Korean is three bytes and not six."""
    return json.dumps(dict(hyperparameters), ensure_ascii=False)


def seconds(maximum_time: str) -> int:
    """Return the seconds of a text such as `1h30m`.

    Raises:
        ValueError: it is written otherwise.
    """
    match = _TIME.fullmatch(maximum_time)
    if not maximum_time or match is None:
        raise ValueError(maximum_time)
    hours, minutes = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60


def _name_of_a_variable(text: str, most: int) -> str:
    problems = text_problems(text, 1, most)
    if text and not _KEY.fullmatch(text):
        strange = next((c for c in text if not re.match(r"[A-Za-z0-9_.-]", c)), None)
        problems.append(f"holds {strange!r}" if strange else f"starts with {text[0]!r}")
    if problems:
        remedy = "it becomes the name of an environment variable"
        raise wrong(f"this name {'; '.join(problems)}", f"Give 1 to {most} of A-Z a-z 0-9 _ - . ({remedy}).")
    return text


def _key(text: str) -> str:
    if text.startswith("-"):
        raise wrong("this name starts with a dash", f"Give it without dashes: {shown(text.lstrip('-'))}.")
    return _name_of_a_variable(text, KEY_CHARACTERS)


def _data_set_name(text: str) -> str:
    return _name_of_a_variable(text, DATA_SET_CHARACTERS)


def _value(text: str) -> str:
    problems = text_problems(text, 0, VALUE_CHARACTERS, allowed="\n\r\t")
    if problems:
        remedy = f"Give at most {VALUE_CHARACTERS} characters of text."
        raise wrong(f"this hyperparameter's value {'; '.join(problems)}", remedy)
    return text


def _entry_point(text: str) -> str:
    text = composed(text)
    problems = text_problems(text, 1, TEXT_CHARACTERS)
    if text.startswith("/") or "\\" in text:
        problems.append("is not relative to the algorithm path" if text.startswith("/") else "holds a backslash")
    elif text and any(not part or part.startswith(".") or part != part.strip() for part in text.split("/")):
        problems.append("has a part that is empty or starts with a dot")
    if text.startswith("-"):
        problems.append("starts with a dash")
    if text and not text.endswith(".py"):
        problems.append("is no Python file")
    if problems:
        raise wrong("; ".join(problems), "Give a file below the algorithm path, as in train.py or src/train.py.")
    return text


def _maximum_time(text: str) -> str:
    text = text.lower()
    try:
        within = LEAST_SECONDS <= seconds(text) <= MOST_SECONDS
    except ValueError:
        raise wrong("is no time", _TIME_REMEDY) from None
    if not within:
        raise wrong("is too short" if seconds(text) < LEAST_SECONDS else "is too long", _TIME_REMEDY)
    return text


HyperparameterKey = Annotated[str, AfterValidator(_key)]
HyperparameterValue = Annotated[str, BeforeValidator(as_written), AfterValidator(_value)]
EntryPoint = Annotated[
    str, AfterValidator(_entry_point), Field(json_schema_extra={"minLength": 1, "maxLength": TEXT_CHARACTERS})
]
MaximumTime = Annotated[str, AfterValidator(_maximum_time)]


class DataSet(BaseModel):
    """One named folder of input data; a script finds it in EM_DATASET_<NAME>."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[
        str, AfterValidator(_data_set_name), Field(json_schema_extra={"minLength": 1, "maxLength": DATA_SET_CHARACTERS})
    ]
    path: PathText


def hyperparameter_faults(raw: object) -> list[Fault]:
    """Return what is wrong with raw hyperparameters as a whole: their number, their size, names that are one."""
    if not isinstance(raw, dict):
        return []
    pairs = cast("dict[object, object]", raw)
    field, faults = "hyperparameters", list[Fault]()
    if len(pairs) > MOST_HYPERPARAMETERS:
        faults.append(number_of_entries(field, pairs, {"max_length": MOST_HYPERPARAMETERS}))
    texts = ((key, as_written(value)) for key, value in pairs.items())
    written = {key: text if isinstance(text, str) else "" for key, text in texts if isinstance(key, str)}
    size = len(hyperparameters_json(written).encode(errors="replace"))
    if size > HYPERPARAMETERS_BYTES:
        problem = f"make {size:,} bytes together"
        faults.append(Fault(field, ABSENT, problem, f"Give at most {HYPERPARAMETERS_BYTES:,}; put the rest in a file."))
    return faults + _collisions(field, written, "EM_HP_")


def data_set_faults(raw: object) -> list[Fault]:
    """Return what is wrong with raw data sets as a whole: their number, names that are one."""
    if not isinstance(raw, list | tuple):
        return []
    data_sets = cast("list[object]", raw)
    faults = list[Fault]()
    if len(data_sets) > MOST_DATA_SETS:
        faults.append(number_of_entries("data_sets", data_sets, {"max_length": MOST_DATA_SETS}))
    names = [
        cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else getattr(entry, "name", None)
        for entry in data_sets
    ]
    return faults + _collisions("data_sets", (name for name in names if isinstance(name, str)), "EM_DATASET_")


def request_key_faults(raw: object) -> list[Fault]:
    """Return what is wrong with a request key; "" is none."""
    if not isinstance(raw, str):
        return [Fault("request_key", raw, "is not text", "Give text, in quotes.")]
    problems = text_problems(raw, 0, TEXT_CHARACTERS)
    remedy = f"Give at most {TEXT_CHARACTERS} characters of plain text."
    return [Fault("request_key", raw, "; ".join(problems), remedy)] if problems else []


def _collisions(field: str, names: Iterable[str], prefix: str) -> list[Fault]:
    """Return a fault for each variable that several names would make."""
    same: dict[str, list[str]] = {}
    for name in names:
        if _KEY.fullmatch(name):
            same.setdefault(environment_name(name), []).append(name)
    remedy = "Give each another name, or leave all but one out."
    return [
        Fault(field, found, f"would all be {prefix}{variable[:80]}", remedy)
        for variable, found in same.items()
        if len(found) > 1
    ]
