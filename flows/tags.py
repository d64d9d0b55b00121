"""Tags: at most 10 names with a value each, on everything that people make."""

from collections import Counter
from typing import Annotated, cast

from pydantic import AfterValidator, BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from flows.faults import ABSENT, Fault, number_of_entries, shown, wrong
from flows.names import as_written, composed, text_problems

MOST_TAGS = 10
KEY_CHARACTERS = 128
VALUE_CHARACTERS = 255
OURS = ("easymaker.", "mlflow.")  # by these MLflow's runs and experiments are found again, and described


def _key(text: str) -> str:
    text = composed(text)
    problems = text_problems(text, 1, KEY_CHARACTERS)
    if text != text.strip():
        problems.append("starts or ends with a space")
    if text.startswith(OURS):
        problems.append(f"starts with {text.partition('.')[0]}., which is the platform's own")
    if problems:
        raise wrong(f"this tag's name {'; '.join(problems)}", f"Give 1 to {KEY_CHARACTERS} characters.")
    return text


def _value(text: str) -> str:
    text = composed(text)
    problems = text_problems(text, 0, VALUE_CHARACTERS)
    if problems:
        raise wrong(f"this tag's value {'; '.join(problems)}", f"Give at most {VALUE_CHARACTERS} characters.")
    return text


def tag_faults(raw: object) -> list[Fault]:
    """Return what is wrong with raw tags as a whole, whatever is wrong with single ones: their number, names twice."""
    if not isinstance(raw, dict):
        return []
    tags = cast("dict[object, object]", raw)
    faults = [number_of_entries("tags", tags, {"max_length": MOST_TAGS})] if len(tags) > MOST_TAGS else []
    # As keys of a dict the later would silently win.
    names = Counter(composed(key) for key in tags if isinstance(key, str))
    doubled = [name for name, times in names.items() if times > 1]
    return faults + [Fault("tags", ABSENT, f"has {shown(name)} twice", "Give each name once.") for name in doubled]


def _whole(raw: object, validate_entries: ValidatorFunctionWrapHandler) -> dict[str, str]:
    tags = validate_entries(raw)
    for fault in tag_faults(raw):
        raise wrong(fault.problem, fault.remedy)
    return tags


TagKey = Annotated[str, AfterValidator(_key)]
TagValue = Annotated[str, BeforeValidator(as_written), AfterValidator(_value)]
Tags = Annotated[dict[TagKey, TagValue], WrapValidator(_whole), Field(json_schema_extra={"maxProperties": MOST_TAGS})]
"""At most 10; names of 1 to 128 characters, each once; values of at most 255; no control characters."""
