"""Names, descriptions and paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from flows.faults import Refused
from flows.names import Description, PathText, PathTextOrNone, ResourceName, as_written, lookup_name

NAME = TypeAdapter[str](ResourceName)
DESCRIPTION = TypeAdapter[str](Description)
PATH = TypeAdapter[str](PathText)


@pytest.mark.parametrize(
    "name", ["a", "digits", "실험 1", "v1.2_b-3", "9 lives", "हिन्दी", "é", "日本語", "x" * 50, "가" * 50]
)
def test_names_of_any_script(name: str):
    """Letters of any script, digits, spaces inside, - _ and . make a name."""
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("x" * 51, "has 51 characters"),
        (" a", "starts or ends with a space"),
        ("a ", "starts or ends with a space"),
        ("-a", "starts with '-'"),
        (".a", "starts with '.'"),
        ("a/b", "holds '/'"),
        ("a:b", "holds ':'"),
        ("a@b", "holds '@'"),
        ("a\nb", r"control character '\\n'"),
        ("a\x00b", "control character"),
        ("a\u2028b", "control character"),
        ("a\ud800", "control character"),
        ("a\u200bb", r"holds '\\u200b'"),  # a space of no width
        ("a\u202eb", r"holds '\\u202e'"),  # turns the direction of what follows
        ("\u3164", "starts with"),  # a letter that shows as nothing
        ("a\ufe0f", "holds"),
        ("<script>", "holds '<'"),
        ("a|b", r"holds '\|'"),
        ("🙂", "starts with"),
    ],
)
def test_names_that_are_refused(name: str, problem: str):
    """Each is refused with what is wrong about it."""
    with pytest.raises(ValidationError, match=problem):
        NAME.validate_python(name)


def test_the_same_name_from_two_keyboards_is_one():
    """Decomposed letters, as macOS writes Korean, become composed ones before the length is counted."""
    decomposed = "\u1112\u1161\u11ab" * 50
    assert NAME.validate_python(decomposed) == "한" * 50


@given(st.text())
def test_an_accepted_name_is_stable_and_plain(text: str):
    """What is accepted is accepted again, unchanged, fits UTF-8, and breaks no line."""
    try:
        name = NAME.validate_python(text)
    except ValidationError:
        return
    assert NAME.validate_python(name) == name
    assert name.encode().decode().isprintable() or any(c >= "\u0300" for c in name)
    assert not set(name) & set("/\\:@|<>`'\"\n\r\t\x00")


def test_descriptions():
    """Up to 255 characters, line breaks too; other control characters and half letters are refused."""
    assert DESCRIPTION.validate_python("한 줄\r\n두 줄\t끝") == "한 줄\n두 줄\t끝"
    assert DESCRIPTION.validate_python("x" * 255) == "x" * 255
    for bad in ("x" * 256, "a\x1b[31m", "\ud83d"):
        with pytest.raises(ValidationError):
            DESCRIPTION.validate_python(bad)


@pytest.mark.parametrize("path", ["obs://127.0.0.1:8480/code/a b", "nas://nas-1:/x", "file:///data"])
def test_paths_that_are_written_rightly(path: str):
    """All three forms are accepted as they are."""
    assert PATH.validate_python(path) == path


@pytest.mark.parametrize(
    "path",
    ["", " obs://h/container/x", "s3://bucket/x", "obs://h/container/../x", "file://x", "nas://x", "obs://h/c" * 40],
)
def test_paths_that_are_not(path: str):
    """What storage cannot parse is refused before anything is asked for."""
    with pytest.raises(ValidationError):
        PATH.validate_python(path)


def test_a_path_may_be_none_where_that_is_allowed():
    """The empty text is none."""
    assert TypeAdapter[str](PathTextOrNone).validate_python("") == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (-1, "-1"),
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (True, "True"),
        (False, "False"),
        ("x", "x"),
        (None, None),
    ],
)
def test_numbers_are_written_as_a_user_would(value: object, text: object):
    """Numbers and truth values become text; anything else is left for the field to refuse."""
    assert as_written(value) == text


def test_what_is_looked_up_is_found_in_every_spelling():
    """A name in decomposed letters is looked up as it is recorded: composed."""
    assert lookup_name("training", "\u1112\u1161\u11ab\u1100\u1173\u11af") == "한글"


@pytest.mark.parametrize("text", ["", "\udcff", "a\ud800", "a\nb", "a\x00", "x" * 256, 5, None])
def test_what_nothing_can_be_called_is_not_looked_up(text: object):
    """A database would fail on some of these, and find nothing for the others: the field is named instead."""
    with pytest.raises(Refused, match="training"):
        lookup_name("training", text)  # pyright: ignore[reportArgumentType]
