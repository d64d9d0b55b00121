"""The configuration as supervisord itself reads it."""

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from blocks.settings import Settings
from deployments.one_machine import environment, supervisord_conf
from deployments.one_machine.errors import CannotStart
from deployments.one_machine.parts import all_parts

SECRETS = {"EMF_OBJECT_STORE_SECRET_KEY": "s%3c=,; ret-_'x", "EMF_RECORDS_URL": "postgresql://u:p%40w@db/emf?a=b"}


def read(home: Path) -> dict[str, dict[str, str]]:
    """Return each program's environment, as supervisord would start it."""
    (home / "supervisor").mkdir(parents=True)
    settings = Settings(home=home)
    text = supervisord_conf.render(all_parts(settings), home, environment.addresses(settings), SECRETS)
    file = home / "supervisor" / "supervisord.conf"
    file.write_text(text)
    options = ServerOptions()
    options.realize(["-c", str(file)], doc="")
    programs = [program for group in options.process_group_configs for program in group.process_configs]
    assert all(program.stdout_logfile.startswith(str(home)) for program in programs)
    return {program.name: program.environment for program in programs}


def test_secrets_reach_only_the_parts_beside_which_no_users_code_runs(tmp_path: Path) -> None:
    """The controller, the control worker and the object store have them, unchanged by any quoting; nobody else."""
    programs = read(tmp_path / "home")
    told = {name for name, environ in programs.items() if environ.keys() & SECRETS.keys()}
    assert told == {"object_store", "controller", "worker-control"}
    assert all(SECRETS.items() <= programs[name].items() for name in told)


def test_every_process_carries_the_mark_of_its_part(tmp_path: Path) -> None:
    """EMF_PART is the program's name: what outlives supervisord is found by it."""
    programs = read(tmp_path / "a home with spaces")
    assert {name: environ["EMF_PART"] for name, environ in programs.items()} == {name: name for name in programs}


def test_every_process_knows_the_ports(tmp_path: Path) -> None:
    """Ports given in the environment of `emf up` are those of every part, also after a restart."""
    assert all(environ["EMF_PORT_PREFECT"] == "4200" for environ in read(tmp_path / "home").values())


@pytest.mark.parametrize("name", ["100%", "a #b", "a ;b"])
def test_a_folder_that_supervisord_cannot_read_is_refused(tmp_path: Path, name: str) -> None:
    """A path that would be read as something else is told, not started with."""
    with pytest.raises(CannotStart, match="EMF_HOME"):
        read(tmp_path / name)


@pytest.mark.parametrize("value", ['say "x"', "x'", "'x"])
def test_a_secret_with_a_quote_is_refused_without_being_told(tmp_path: Path, value: str) -> None:
    """The message names the variable, never its value."""
    settings = Settings(home=tmp_path)
    with pytest.raises(CannotStart, match="EMF_KEY holds a quote") as refusal:
        supervisord_conf.render(all_parts(settings), tmp_path, {}, {"EMF_KEY": value})
    assert value not in str(refusal.value)
