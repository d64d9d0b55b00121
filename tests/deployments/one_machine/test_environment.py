"""What the platform's processes find in their environment."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from blocks.settings import Settings
from deployments.one_machine import environment

SETTINGS = Settings(home=Path("/home/someone/.emf"))
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


def test_a_proxy_never_stands_before_the_loopback() -> None:
    """The shell's exceptions stay, the loopback is added."""
    seen = environment.process_environment(SETTINGS, "controller", {"NO_PROXY": "example.org"})
    assert seen["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert seen["no_proxy"] == "127.0.0.1,localhost"
