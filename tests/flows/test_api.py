"""The flows from Python, where no platform is up."""

import os
from collections.abc import Callable

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks.errors import BlockError, Temporary
from blocks.hosts.loopback import free_ports
from blocks.platform import Platform
from blocks.pools.errors import PrefectAway, RunRefused
from flows import api


def answered(status: int) -> PrefectHTTPStatusError:
    """What Prefect's client raises when its server answers so."""
    request = httpx.Request("POST", "http://127.0.0.1:4200/api/flow_runs/")
    response = httpx.Response(status, request=request, text="database is locked")
    return PrefectHTTPStatusError("refused", request=request, response=response)


class Raises:
    """A flow in whose run Prefect's client raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def fn(self) -> None: ...

    async def __call__(self) -> None:
        raise self.error


def test_a_platform_that_is_down_is_told_with_what_to_do(here: Platform):
    """A request that changes something says that Prefect does not answer, and how to start it; nothing is recorded."""
    nobody = f"http://127.0.0.1:{free_ports(1)}/api"
    with temporary_settings({PREFECT_API_URL: nobody}), pytest.raises(PrefectAway, match="`emf up` starts"):
        api.create_experiment(name="group")
    assert api.list_experiments() == []


@pytest.mark.parametrize("ask", [api.board, api.apply_catalogue])
def test_what_asks_prefect_itself_says_the_same(
    here: Platform, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]
):
    """The page of a board and the forms, which are no runs."""
    monkeypatch.setenv("EMF_PORT_PREFECT", str(free_ports(1)))
    with pytest.raises(Temporary, match="`emf up` starts"):
        ask()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectError("refused"), PrefectAway),
        (httpx.ReadTimeout("slow"), PrefectAway),
        (answered(503), PrefectAway),
        (answered(422), RunRefused),
    ],
)
def test_what_prefects_client_raises_in_a_run_is_an_error_of_ours(
    here: Platform, error: Exception, told: type[BlockError]
):
    """Whether asking again may help is in its type."""
    with pytest.raises(told):
        api.call(Raises(error), {})


def test_any_other_error_comes_out_as_it_is(here: Platform):
    """A fault of a flow's own is not taken for Prefect's."""
    with pytest.raises(RuntimeError, match="ours"):
        api.call(Raises(RuntimeError("ours")), {})


def test_no_proxy_stands_before_the_platform(here: Platform, monkeypatch: pytest.MonkeyPatch):
    """Connecting adds loopback to the exceptions of whoever calls."""
    for name in ("PREFECT_API_URL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("NO_PROXY", "example.org")
    api.connect()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
