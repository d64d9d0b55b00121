"""Paths as users type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Permanent
from blocks.storage.errors import BadPath
from blocks.storage.location import Location, key_fault, parse

SEGMENT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\ufffe\uffff"),
    min_size=1,
    max_size=20,
).filter(lambda text: text not in {".", ".."})
KEY = st.lists(SEGMENT, max_size=5).map("/".join)
SLASH = st.sampled_from(["", "/"])
CONTAINER = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True)
HOST = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,15}[a-z0-9])?(:[0-9]{1,5})?", fullmatch=True)


def folder_or_file(key: str, slash: str) -> str:
    return key + slash if key else ""


LOCATION = st.one_of(
    st.builds(
        lambda host, container, key, slash, account: Location(
            "obs", host, container, folder_or_file(key, slash), account
        ),
        HOST,
        CONTAINER,
        KEY,
        SLASH,
        st.sampled_from(["", "AUTH_easymaker", "AUTH_0123abc"]),
    ),
    st.builds(
        lambda host, key, slash: Location("nas", host, "", folder_or_file(key, slash)),
        st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,15}[A-Za-z0-9])?", fullmatch=True),
        KEY,
        SLASH,
    ),
    st.builds(lambda key, slash: Location("file", "", "", key + slash), KEY.filter(bool), SLASH),
)


@given(LOCATION)
def test_text_of_a_location_names_it_again(place: Location) -> None:
    """`parse(str(location))` is the location."""
    assert parse(str(place), limit=4096) == place


@given(st.text())
def test_any_text_is_a_location_or_a_bad_path(text: str) -> None:
    """No text makes `parse` raise anything but BadPath, and whatever it accepts it writes back the same."""
    for candidate in (
        text,
        f"obs://{text}",
        f"obs://host/{text}",
        f"nas://{text}",
        f"nas://id:/{text}",
        f"file://{text}",
    ):
        try:
            place = parse(candidate)
        except BadPath:
            continue
        assert str(place).rstrip("/") == candidate.rstrip("/")


@given(LOCATION, st.text(max_size=30))
def test_what_is_joined_stays_below(place: Location, name: str) -> None:
    """`location / name` starts with the location's own folder, whatever the name is."""
    try:
        joined = place / name
    except BadPath:
        assert key_fault(name.removesuffix("/")) or len((place.prefix + name).encode()) > 1024
        return
    assert joined.key.startswith(place.prefix)
    assert ".." not in joined.key.split("/") and joined.endpoint == place.endpoint


PARTS = [
    ("obs://127.0.0.1:8480/data/train/a.csv", Location("obs", "127.0.0.1:8480", "data", "train/a.csv")),
    ("obs://api.example.com/v1/AUTH_ab12/data/x/", Location("obs", "api.example.com", "data", "x/", "AUTH_ab12")),
    ("obs://host/data", Location("obs", "host", "data", "")),
    ("obs://host/data/v1/AUTH_x", Location("obs", "host", "data", "v1/AUTH_x")),
    ("obs://host/data/a%20b+c?d#e", Location("obs", "host", "data", "a%20b+c?d#e")),
    ("obs://[::1]:80/data/데이터", Location("obs", "[::1]:80", "data", "데이터")),
    ("nas://nas-0001:/vol/학습", Location("nas", "nas-0001", "", "vol/학습")),
    ("nas://192.168.0.5:/", Location("nas", "192.168.0.5", "", "")),
    ("nas://[fe80::1]:/vol", Location("nas", "[fe80::1]", "", "vol")),
    ("file:///srv/data/", Location("file", "", "", "srv/data/")),
]


@pytest.mark.parametrize(("text", "place"), PARTS)
def test_each_form_has_its_parts(text: str, place: Location) -> None:
    """The three forms are taken apart as documented; percent signs and accounts included."""
    assert parse(text) == place


WRONG = [
    ("", "does not start with"),
    ("/srv/data", "file:///{absolute path}"),
    ("s3://bucket/key", "obs://{endpoint}/{container}/{path}"),
    ("OBS://host/data", "obs:// in lower case"),
    ("obs:///data/x", "no endpoint"),
    ("obs://host", "names no container"),
    ("obs://host/", "names no container"),
    ("obs://host/v1", "no account"),
    ("obs://host/v1/AUTH_x", "names no container"),
    ("obs://host/v1/other/data", "'other' is no account"),
    ("obs://host/Data/x", "'Data' is no name of a container"),
    ("obs://host/data+segments/x", "a-z, 0-9"),
    ("obs://host/ab/x", "3 to 63"),
    ("obs://ho st/data/x", "no endpoint"),
    ("obs://host/data//x", "empty part"),
    ("obs://host/data/x//", "empty part"),
    ("obs://host/data//", "empty part"),
    ("obs://host/data/../other/x", "'..'"),
    ("obs://host/data/./x", "'.'"),
    ("obs://host/data/a\x00b", r"'\x00'"),
    ("obs://host/data/a\nb", r"'\n'"),
    ("obs://host/data/\ud800", "no path can have"),
    ("nas://nas-1/vol", "':/'"),
    ("nas://:/vol", "no NAS id"),
    ("nas://nas 1:/vol", "no NAS id"),
    ("nas://nas-1:/../etc", "'..'"),
    ("file://host/srv", "no absolute path"),
    ("file:///", "whole disk"),
    ("file:///srv/../etc/shadow", "'..'"),
    ("obs://host/data/" + "x" * 240, "at most 255"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_wrong_path_is_refused_with_what_would_be_right(text: str, told: str) -> None:
    """Each wrong path raises a permanent error that says what is wrong with it."""
    with pytest.raises(BadPath) as caught:
        parse(text)
    assert told in str(caught.value)
    assert isinstance(caught.value, Permanent)


def test_keys_typed_into_a_path_are_not_repeated() -> None:
    """A path with a password in it is refused without showing the password."""
    with pytest.raises(BadPath) as caught:
        parse("obs://user:pa55word@host/data/x")
    assert "pa55word" not in str(caught.value)


def test_a_key_longer_than_object_stores_take_is_refused() -> None:
    """A key of more than 1,024 bytes in UTF-8 is no location, also when it was joined."""
    long = parse("obs://host/data/" + "가" * 200)
    with pytest.raises(BadPath, match="1024"):
        long / ("가" * 150)


def test_folder_and_name() -> None:
    """A trailing slash says folder; name and prefix are the same with and without it."""
    folder, file = parse("obs://host/data/a/b/"), parse("obs://host/data/a/b")
    assert (folder.is_folder, folder.prefix, folder.name) == (True, "a/b/", "b")
    assert (file.is_folder, file.prefix, file.name) == (False, "a/b/", "b")
    assert folder / "c" == file / "c"
