"""Which hosts no proxy stands before."""

import urllib.request

import httpx
import pytest

from blocks.proxies import exceptions, is_loopback

PROXY = {"http_proxy": "http://proxy.example.org:3128"}


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "example.org"}, "example.org,127.0.0.1,localhost"),
        ({"no_proxy": "a, b", "NO_PROXY": "c"}, "a,b,127.0.0.1,localhost"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"NO_PROXY": "*,example.org"}, "*"),
    ],
)
def test_loopback_is_added_to_what_was_told(told: dict[str, str], value: str):
    """Both spellings say the same, and what was told stays; said twice it changes nothing."""
    seen = exceptions(told)
    assert seen == {"NO_PROXY": value, "no_proxy": value}
    assert exceptions(seen) == seen


@pytest.mark.parametrize("told", [{}, {"NO_PROXY": "example.org"}, {"NO_PROXY": "*"}])
def test_clients_go_to_loopback_directly(told: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Both the standard library's rules, which boto and requests follow, and httpx's."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (PROXY | told | exceptions(told)).items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass("127.0.0.1:8480")
    assert urllib.request.proxy_bypass("other.example.com") == (told == {"NO_PROXY": "*"})
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL("http://127.0.0.1:4200")) is client._transport


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8480", True),
        ("http://127.9.9.9", True),
        ("http://localhost:1/x", True),
        ("http://[::1]:8480", True),
        ("https://127.0.0.1.example.org", False),
        ("https://10.0.0.1", False),
    ],
)
def test_what_is_this_machine(url: str, here: bool):
    """Any address of loopback, and its name."""
    assert is_loopback(url) is here
