"""What the platform's processes find in their environment."""

import asyncio
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.settings import Settings as PrefectSettings
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from blocks.settings import Settings
from deployments.one_machine import environment

SETTINGS = Settings(home=Path("/home/someone/.emf"))
CORS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
OURS = {*environment.addresses(SETTINGS), "EMF_HOME", "EMF_PART", "EMF_CHECKOUT", "PREFECT_HOME", "PYTHONUNBUFFERED"}


@given(st.dictionaries(st.text(st.characters(codec="ascii", categories=["Lu", "Nd"]) | st.just("_")), st.text()))
def test_nothing_that_is_not_listed_gets_through(environ: dict[str, str]) -> None:
    """Whatever the shell holds, a process sees only listed names and ours."""
    seen = environment.process_environment(SETTINGS, "mlflow", environ)
    unlisted = {name for name in seen if name not in environment.NAMES and not name.startswith(environment.PREFIXES)}
    assert unlisted <= OURS


def test_secrets_of_the_shell_stay_there() -> None:
    """Keys of clouds, the records' address and byte-code switches do not reach the parts."""
    shell = {"AWS_SECRET_ACCESS_KEY": "x", "EMF_RECORDS_URL": "x", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "x"}
    assert not shell.keys() & environment.process_environment(SETTINGS, "prefect", shell)


def test_what_a_machine_needs_gets_through() -> None:
    """Certificates, proxies and the configuration of pip and uv are handed on as they are."""
    shell = {"SSL_CERT_FILE": "/c.pem", "PIP_FIND_LINKS": "/wheels", "UV_FIND_LINKS": "/wheels", "LC_ALL": "C.UTF-8"}
    assert shell.items() <= environment.process_environment(SETTINGS, "controller", shell).items()


def test_no_foreign_page_may_ask_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect reads the setting, and its server then allows what is sent from its own pages and no others."""
    told = environment.prefect_server(SETTINGS)
    monkeypatch.setenv(CORS, told[CORS])
    allowed = PrefectSettings().server.api.cors_allowed_origins.split(",")
    assert allowed == ["http://127.0.0.1:4200", "http://localhost:4200"]
    app = CORSMiddleware(Starlette(), allow_origins=allowed, allow_methods=["*"], allow_headers=["*"])
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    async def ask(origin: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:4200") as client:
            return (await client.options("/api/flow_runs/", headers=wanted | {"Origin": origin})).status_code

    for origin, status in (("https://example.org", 400), ("null", 400), (allowed[0], 200), (allowed[1], 200)):
        assert asyncio.run(ask(origin)) == status


def test_a_proxy_never_stands_before_the_loopback() -> None:
    """The shell's exceptions stay, the loopback is added."""
    seen = environment.process_environment(SETTINGS, "controller", {"NO_PROXY": "example.org"})
    assert seen["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert seen["no_proxy"] == seen["NO_PROXY"]
