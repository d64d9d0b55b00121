"""What people may call things and write about them: one rule for names, descriptions and paths in every lifecycle.

Names are letters of any script (Korean too), digits, spaces inside, and `- _ .`; they start with a letter or digit.
All text is brought to Unicode's composed form (NFC) first: a macOS keyboard and a Windows one then write the same name.
"""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from blocks.storage import location
from blocks.storage.errors import BadPath
from flows.faults import Fault, Refused, wrong

NAME_CHARACTERS = 50
TEXT_CHARACTERS = 255
# Letters to Unicode, nothing to the eye: two names that look the same would differ.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
_BREAKS = "\n\t"


def text_problems(text: str, least: int, most: int, allowed: str = "") -> list[str]:
    """Return what is wrong with a text: its length in characters, its control characters but for the allowed ones."""
    problems: list[str] = []
    if len(text) < least:
        problems.append("is empty" if not text else f"has {len(text)} characters")
    if len(text) > most:
        problems.append(f"has {len(text)} characters")
    bad = next((c for c in text if c not in allowed and is_unwritable(c)), None)
    if bad:
        problems.append(f"holds the control character {bad!a}")
    return problems


def is_unwritable(character: str) -> bool:
    """Tell control characters and line separators from letters, and what has no UTF-8 (a half of a surrogate pair)."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def composed(text: str) -> str:
    """Return the text in Unicode's composed form."""
    return unicodedata.normalize("NFC", text)


def lookup_faults(field: str, text: object, least: int = 1) -> list[Fault]:
    """Return what makes a text useless to look something up by: a database refuses some, and finds no others."""
    if not isinstance(text, str):
        return [Fault(field, text, "is not text", "Give a name or an id.")]
    problems = text_problems(composed(text), least, TEXT_CHARACTERS)
    return [Fault(field, text, "; ".join(problems), "Give it as the lists show it.")] if problems else []


def lookup_name(field: str, text: str) -> str:
    """Return how the records have what a person names, in whatever spelling it was typed.

    Raises:
        Refused: nothing can have that name or id.
    """
    if faults := lookup_faults(field, text):
        raise Refused(faults)
    return composed(text)


def as_written(value: object) -> object:
    """Return a number or a truth value as the text a user would write in a Python program: 0.001, 10, True."""
    if isinstance(value, int) and value.bit_length() > 4096:  # Python itself refuses to write longer ones
        return value
    return str(value) if isinstance(value, int | float) else value


def _name(text: str) -> str:
    text = composed(text)
    problems = text_problems(text, 1, NAME_CHARACTERS)
    if text != text.strip():
        problems.append("starts or ends with a space")
    elif text and not _is_letter_or_digit(text[0]):
        problems.append(f"starts with {text[0]!r}")
    strange = next((c for c in text if not _may_stand_in_a_name(c) and not is_unwritable(c)), None)
    if strange:
        problems.append(f"holds {strange!r}")
    if problems:
        raise wrong("; ".join(problems), _NAME_REMEDY)
    return text


_NAME_REMEDY = f"Give 1 to {NAME_CHARACTERS} letters, digits, spaces, - _ and . with a letter or digit first."


def _is_letter_or_digit(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN" and character not in _BLANK_LETTERS


def _may_stand_in_a_name(character: str) -> bool:
    # Marks (M) are the vowel signs of many scripts.
    is_mark = unicodedata.category(character)[0] == "M" and not 0xFE00 <= ord(character) <= 0xFE0F
    return character in " -_." or is_mark or _is_letter_or_digit(character)


def _description(text: str) -> str:
    text = composed(text.replace("\r\n", "\n"))
    problems = text_problems(text, 0, TEXT_CHARACTERS, _BREAKS)
    if problems:
        raise wrong("; ".join(problems), f"Give at most {TEXT_CHARACTERS} characters of plain text.")
    return text


def path_problem(text: str) -> tuple[str, str] | None:
    """Return what is wrong with how a path is written, and what would be right; whether it is there is asked later."""
    try:
        location.parse(text)
    except BadPath as error:
        told = error.problem.removeprefix(f"The path {text!r} ").rstrip(".")
        return told, error.remedy
    return None


def _path(text: str) -> str:
    if text != text.strip():
        raise wrong("starts or ends with a space", "Take it away.")
    found = path_problem(text) if text else ("is empty", "Give a path, as in obs://{endpoint}/{container}/{path}.")
    if found:
        # What stands before an @ may be a password.
        raise wrong(*found, hide_value="@" in text)
    return text


def _path_or_none(text: str) -> str:
    return _path(text) if text else text


ResourceName = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"minLength": 1, "maxLength": NAME_CHARACTERS})
]
"""The name of an experiment, a training, a model; 1 to 50 characters."""

Description = Annotated[str, AfterValidator(_description), Field(json_schema_extra={"maxLength": TEXT_CHARACTERS})]
"""What somebody wrote about a thing; at most 255 characters, line breaks allowed."""

PathText = Annotated[
    str, AfterValidator(_path), Field(json_schema_extra={"minLength": 1, "maxLength": TEXT_CHARACTERS})
]
"""A storage path that is written rightly; at most 255 characters."""

PathTextOrNone = Annotated[str, AfterValidator(_path_or_none), Field(json_schema_extra={"maxLength": TEXT_CHARACTERS})]
"""A storage path, or "" for none."""
