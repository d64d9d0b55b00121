"""The servers' configuration as Swift itself reads it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swift.common import wsgi

from deployments.one_machine.object_store import configuration

FOLDER = Path("/srv/emf/object_store")


def fields(text: str, name: str) -> dict[str, str]:
    """Return what one filter, or the application itself (`proxy-server`), is told."""
    context = wsgi.ConfigString(text).get_context(wsgi.loadwsgi.APP, None, None)
    known = {part.local_conf["__name__"]: part.local_conf for part in (*context.filter_contexts, context.app_context)}
    return known[name]


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_swift_reads_the_key_that_was_meant(secret: str) -> None:
    """Any key either arrives as it is or is refused; none becomes another."""
    try:
        text = configuration.proxy(FOLDER, "KR1", "easymaker:admin", secret)
    except ValueError:
        assert "%(" in secret
    else:
        assert fields(text, "tempauth")["user_easymaker_admin"] == f"{secret} .admin"


def test_the_region_is_the_settings() -> None:
    """A client that signs for another region is told so."""
    assert fields(configuration.proxy(FOLDER, "JP1", "a:b", "k"), "s3api")["location"] == "JP1"


@pytest.mark.parametrize("secret", ["", "two words", " k"])
def test_a_secret_key_that_swift_would_cut_is_refused(secret: str) -> None:
    """The message does not show it."""
    with pytest.raises(ValueError, match=r"must not be empty, nor hold a space\.$"):
        configuration.proxy(FOLDER, "KR1", "a:b", secret)


@pytest.mark.parametrize("key", ["easymaker", "a:", ":b", "a:b:c", "a_b:c", ""])
def test_an_access_key_that_swift_cannot_have_is_refused(key: str) -> None:
    """The message says what it should look like."""
    with pytest.raises(ValueError, match="account:user"):
        configuration.proxy(FOLDER, "KR1", key, "secret")


def test_a_line_break_does_not_become_another_field() -> None:
    """Nobody adds a user to the object store through a value."""
    with pytest.raises(ValueError, match="line break"):
        configuration.proxy(FOLDER, "KR1\nuser_a_b = k .admin", "a:b", "k")
