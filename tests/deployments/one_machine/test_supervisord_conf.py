"""The configuration as supervisord itself reads it."""

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from blocks.settings import Settings
from deployments.one_machine import environment, supervisord_conf
from deployments.one_machine.errors import CannotStart
from deployments.one_machine.parts import all_parts

OWN = {
    "EMF_OBJECT_STORE_ACCESS_KEY": "lab:admin",
    "EMF_OBJECT_STORE_SECRET_KEY": "s%3c=,; ret-_'x",
    "EMF_SWIFT_HASH_SUFFIX": "abc",
    "EMF_CLAIM_SECRET": "claim",
    "EMF_RECORDS_URL": "postgresql://u:p%40w@db/emf?a=b",
}
OTHERS = {"EMF_OBJECT_STORE_NHN_ENDPOINT": "api.example.com", "EMF_OBJECT_STORE_NHN_SECRET_KEY": 'held " anyhow'}
SECRETS = OWN | OTHERS


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


def test_each_part_has_the_secrets_that_it_needs_and_no_other(tmp_path: Path) -> None:
    """Unchanged by any quoting; none where users' code runs; other stores' keys are nobody's: they are read afresh."""
    programs = read(tmp_path / "home")
    told = {name: {key for key in environ if key in SECRETS} for name, environ in programs.items()}
    assert {name: keys for name, keys in told.items() if keys} == {
        "object_store": {"EMF_OBJECT_STORE_ACCESS_KEY", "EMF_OBJECT_STORE_SECRET_KEY", "EMF_SWIFT_HASH_SUFFIX"},
        "controller": {"EMF_CLAIM_SECRET", "EMF_RECORDS_URL"},
        "worker-control": {"EMF_RECORDS_URL"},
    }
    assert all(programs[name][key] == SECRETS[key] for name, keys in told.items() for key in keys)


def test_another_stores_keys_change_no_configuration(tmp_path: Path) -> None:
    """An operator who adds them need not start the platform anew."""
    parts = all_parts(Settings(home=tmp_path))
    texts = {supervisord_conf.render(parts, tmp_path, {}, secrets) for secrets in (OWN, OWN | OTHERS)}
    assert len(texts) == 1


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
    with pytest.raises(CannotStart, match="EMF_CLAIM_SECRET holds a quote") as refusal:
        supervisord_conf.render(all_parts(settings), tmp_path, {}, {"EMF_CLAIM_SECRET": value})
    assert value not in str(refusal.value)
