"""What `emf training create` and `copy` send, and where they print."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from blocks.logs import InstanceLog, LocalSink
from blocks.platform import Platform
from blocks.records.words import TrainingState
from flows import api, cli
from flows.training.spec import TrainingSpec

BESIDE = {"hyperparameters": ["--hp", "a=1"], "data_sets": ["--data-set", "d=data/d"], "tags": ["--tag", "t=1"]}


@pytest.fixture
def sent(here: Platform, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked for, in the end; each answered with a training that is COMPLETE and has a line of log."""
    training_id = make(TrainingState.COMPLETE)
    log = InstanceLog(LocalSink(here.settings.home, training_id, 1, 0), training_id, 1, 0)
    log.write([("epoch 1", 0)])
    log.close()
    asked: list[dict[str, Any]] = []

    def create(**parameters: Any) -> dict[str, Any]:
        asked.append(parameters)
        return api.show_training(training_id)

    monkeypatch.setattr(api, "create_training", create)
    monkeypatch.setattr(api, "copy_training", lambda _training, _key, **changes: create(**changes))
    return asked


def emf(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["emf", "training", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code


def test_only_json_is_on_standard_output(
    sent: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """With --json the log that --wait follows is for the person beside, on standard error."""
    emf(monkeypatch, "create", "--name", "x", "--wait", "--json")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["state"] == "COMPLETE"
    assert printed.err == "epoch 1\n"


def test_without_json_the_log_is_what_is_printed(
    sent: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It goes before the page."""
    emf(monkeypatch, "create", "--name", "x", "--wait")
    assert capsys.readouterr().out.startswith("epoch 1\n")


def test_a_copy_is_waited_for(sent: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """As what is created is: its log, then its page."""
    emf(monkeypatch, "copy", "digits", "--wait", "--json")
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["state"], printed.err) == ("COMPLETE", "epoch 1\n")


def test_a_copy_keeps_hyperparameters_beside_those_that_differ(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """Those of the training, or those that --set gives in their place."""
    emf(monkeypatch, "copy", "digits", "--hp", "epochs=3")
    emf(monkeypatch, "copy", "digits", "--hp", "epochs=3", "--set", 'hyperparameters={"a": "1"}')
    assert sent == [
        {"hyperparameters": {"learning-rate": "0.1", "epochs": "3"}},
        {"hyperparameters": {"a": "1", "epochs": "3"}},
    ]


def test_every_field_has_its_option(sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    """What is given is sent under the field's name; what is not is not sent."""
    values = {"instance_count": "2", "data_storage_gb": "3", "processes_per_node": "4", "checkpoints_kept": "5"}
    words: list[str] = []
    for field in (*TrainingSpec.model_fields, "request_key"):
        option = f"--{field.replace('_', '-')}"
        flag = [option] if field in {"use_torchrun", "log_management"} else [option, values.get(field, "c/x")]
        words += BESIDE.get(field, flag)
    emf(monkeypatch, "create", *words)
    assert sent[-1].keys() == {*TrainingSpec.model_fields, "request_key"}
    assert (sent[-1]["instance_count"], sent[-1]["use_torchrun"]) == (2, True)
    emf(monkeypatch, "create", "--name", "x")
    assert sent[-1] == {"name": "x"}


@pytest.mark.parametrize(
    "command", [["create", "--output-path", "out/x"], ["copy", "digits", "--set", "output_path=out/x"]]
)
def test_short_paths_work_wherever_a_path_is_given(
    here: Platform, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, command: list[str]
):
    """A copy's changed settings as well."""
    emf(monkeypatch, *command)
    assert sent == [{"output_path": here.settings.obs("out", "x")}]
