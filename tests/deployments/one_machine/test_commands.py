"""What a person sees at the terminal."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deployments.one_machine import commands

RUN = CliRunner()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The terminal's door, with this room's commands, where no platform runs."""
    monkeypatch.setenv("EMF_HOME", str(tmp_path / "home"))
    app = typer.Typer()
    commands.register(app)
    return app


def test_status_works_where_nothing_runs(app: typer.Typer) -> None:
    """Every part is listed as stopped, and the exit code tells programs that the platform is not well."""
    answer = RUN.invoke(app, ["status", "--json"])
    parts = json.loads(answer.stdout)["parts"]
    assert answer.exit_code == 1
    assert {part["state"] for part in parts} == {"STOPPED"}
    assert [part["part"] for part in parts][:3] == ["object_store", "prefect", "mlflow"]


def test_status_for_people_breaks_no_link(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part stands on one line with its whole page, however narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = RUN.invoke(app, ["status"]).stdout.splitlines()
    (prefect,) = (line for line in lines if line.startswith("prefect "))
    assert prefect.split()[:3] == ["prefect", "STOPPED", "http://127.0.0.1:4200"]
    assert prefect.endswith("does not run")


def test_down_where_nothing_runs_says_so(app: typer.Typer) -> None:
    """Ending nothing is no error."""
    answer = RUN.invoke(app, ["down"])
    assert (answer.exit_code, answer.stdout.strip()) == (0, "Nothing runs.")


def test_a_fault_of_the_settings_is_told_without_a_traceback(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the field and the value."""
    monkeypatch.setenv("EMF_PORT_PREFECT", "many")
    answer = RUN.invoke(app, ["status"])
    assert answer.exit_code == 1
    assert "ports.prefect" in answer.stderr
    assert "many" in answer.stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0, "0m00s"), (75, "1m15s"), (3600 * 3 + 425, "3h07m"), (86400 * 2 + 3600 * 5, "2d05h")],
)
def test_duration(seconds: int | None, words: str) -> None:
    """A length of time is told in its two largest units."""
    assert commands.duration(seconds) == words
