"""What every control flow shares, and the flows from Python, as far as they need no server."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.flows import Flow

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.pools.errors import PrefectAway
from blocks.records import trainings
from blocks.records.errors import NotFound
from blocks.records.words import TrainingState
from flows import control
from flows.control import control_flow, is_temporary, verb
from flows.decided import Decided
from flows.faults import Fault, Refused


@pytest.fixture
def api(here: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`flows.api`, which points this process's Prefect at the platform when it is imported."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    from flows import api

    yield api


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a flow puts among its artifacts, which need a server."""
    pages: list[str] = []

    async def show(markdown: str, **_: Any) -> None:
        pages.append(markdown)

    monkeypatch.setattr(control, "show", show)
    return pages


def answer(error: Exception) -> Any:
    """Return what a control flow answers whose work ends with an error."""

    @control_flow("test")
    async def work() -> None:
        raise error

    return asyncio.run(work.fn())


FAULTS = [Fault("name", "a|b", "is wrong", "Give another."), Fault("image", "x", "there is no such image", "")]


def test_a_refusal_is_an_answer(shown: list[str]):
    """The state is Failed with every fault, for people as text and as a page, for programs as the error itself."""
    state = answer(Refused(FAULTS))
    assert state.type == StateType.FAILED
    assert "1. name ('a|b'): is wrong. Give another." in state.message
    assert "2. image ('x'): there is no such image." in state.message
    assert state.data.faults == FAULTS
    assert "Refused, nothing was made" in shown[0]
    assert "'a&#124;b'" in shown[0]


@pytest.mark.parametrize("error", [NotFound("There is no training 'x'."), Temporary("MLflow is away.")])
def test_what_cannot_be_done_is_an_answer(shown: list[str], error: Exception):
    """Ours are told in their own words."""
    state = answer(error)
    assert (state.type, state.message, state.data) == (StateType.FAILED, str(error), error)
    assert str(error) in shown[0]


def test_what_people_typed_stays_text_on_the_page(shown: list[str]):
    """An error that quotes a name cannot write Markdown of its own."""
    answer(NotFound("There is no training '](http://x) ``` <img>'."))
    assert shown == ["### Not done\n\n````text\nThere is no training '](http://x) ``` <img>'.\n````"]


def test_a_page_that_cannot_be_shown_fails_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """What was done stays done; the log tells."""

    async def away(**_: Any) -> None:
        raise RuntimeError("Prefect is away")

    monkeypatch.setattr(control, "acreate_markdown_artifact", away)
    monkeypatch.setattr(control, "get_run_logger", lambda: logging.getLogger("test"))
    asyncio.run(control.show("# done"))
    assert "could not be put among its artifacts" in caplog.text


@pytest.mark.parametrize("logger", ["prefect.flow_runs", "prefect.task_runs"])
@pytest.mark.parametrize(
    ("error", "kept"),
    [(Decided("stopped"), False), (Refused([]), False), (NotFound("x"), False), (ValueError("x"), True)],
)
def test_only_an_accident_has_a_traceback(logger: str, error: Exception, kept: bool):
    """In the log of a flow and of its tasks."""
    record = logging.LogRecord(logger, logging.ERROR, "", 0, "failed", (), (type(error), error, None))
    assert bool(logging.getLogger(logger).filter(record)) == kept


def test_a_fault_of_ours_is_not_hidden(shown: list[str]):
    """Anything else comes out as it is."""
    with pytest.raises(ZeroDivisionError):
        answer(ZeroDivisionError())
    assert shown == []


@pytest.mark.parametrize(
    ("error", "again"),
    [(Temporary("away"), True), (Permanent("no"), False), (Refused(FAULTS), False), (ValueError("x"), False)],
)
def test_only_what_may_help_is_tried_again(error: Exception, again: bool):
    """A part that is away is asked again; a refusal is final."""
    task = verb(lambda: None)
    state = State(type=StateType.FAILED, data=error)
    assert task.retry_condition_fn is is_temporary
    assert task.retries == 4
    assert is_temporary(task, None, state) == again


# --- from Python


def faults_of(api: ModuleType, flow: Any, **parameters: Any) -> dict[str, str]:
    return {fault.field: str(fault) for fault in api.parameter_faults(flow, parameters)}


def test_names_of_parameters_are_checked(api: ModuleType):
    """Unknown ones with the nearest known, missing ones by name; those with defaults may be left out."""
    from flows.experiment.flow import create_experiment
    from flows.training.flow import stop_training

    assert faults_of(api, create_experiment, name="x") == {}
    assert faults_of(api, create_experiment, nam="x") == {
        "nam": "nam ('x'): there is no such parameter. Did you mean `name`?",
        "name": "name: is missing. Give it.",
    }
    assert faults_of(api, stop_training, training="x", force=True)["force"].startswith("force (True): there is no such")


def test_every_fault_of_a_training_comes_at_once(api: ModuleType, here: Platform):
    """Missing and unknown names come with what is wrong with the others; nothing is recorded."""
    with pytest.raises(Refused) as caught:
        api.create_training(name="", imag="x", instance_type="none", instance_count=0)
    fields = [fault.field for fault in caught.value.faults]
    assert {"name", "experiment", "algorithm_path", "entry_point", "image", "output_path"} <= set(fields)
    assert {"instance_type", "instance_count", "imag"} <= set(fields)
    with here.records.reading() as session:
        assert trainings.page(session)[1] == 0


def test_a_wrong_name_starts_no_run(api: ModuleType):
    """It is refused before Prefect is asked anything: there is no server here."""
    from flows.training.flow import stop_training

    with pytest.raises(Refused, match="Did you mean `training`"):
        api.call(stop_training, {"trainin": "x"})


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"name": "a\ud800"}, "name"),
        ({"name": "a", "tags": {"\udcff": "x"}}, "tags['\\udcff']"),
        ({"name": "a", "tags": {"a": ["b", "\ud800"]}}, "tags['a'][1]"),
    ],
)
def test_what_has_no_utf8_starts_no_run(api: ModuleType, parameters: dict[str, Any], field: str):
    """Half of a surrogate pair, however deep it stands, is a fault like any other: Prefect could not send it."""
    with pytest.raises(Refused) as caught:
        api.create_experiment(**parameters)
    assert [fault.field for fault in caught.value.faults] == [field]
    assert "is not text in UTF-8" in str(caught.value)


def test_a_training_that_cannot_be_sent_is_told_all_of_its_faults(api: ModuleType, here: Platform):
    """Text that has no UTF-8, a request key that is too long and an unknown image come together."""
    with pytest.raises(Refused) as caught:
        api.create_training(name="a", experiment="a\ud800", image="none", request_key="k" * 256)
    assert {"experiment", "image", "algorithm_path", "request_key"} <= {fault.field for fault in caught.value.faults}


def test_a_prefect_that_is_away_is_told(api: ModuleType):
    """With what to do; what else goes wrong in a run is not taken for it."""

    async def away(training: str) -> str:
        raise RuntimeError(f"Failed to reach API at {training}" if training else "of ours")

    with pytest.raises(PrefectAway, match="`emf up`"):
        api.call(_Direct(away), {"training": "tr-1"})
    with pytest.raises(RuntimeError, match="of ours"):
        api.call(_Direct(away), {"training": ""})


def test_a_flow_runs_where_a_loop_runs_already(api: ModuleType):
    """A cell of a notebook is inside a loop: the flow gets a thread of its own."""

    async def answered(training: str) -> str:
        return f"{training} is answered"

    async def cell() -> str:
        return api.call(_Direct(answered), {"training": "tr-1"})

    assert asyncio.run(cell()) == "tr-1 is answered"
    assert api.call(_Direct(answered), {"training": "tr-2"}) == "tr-2 is answered"


class _Direct:
    """A flow without a server: it is called as Prefect's are."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.fn = function

    def __call__(self, **parameters: Any) -> Any:
        return self.fn(**parameters)


def test_what_only_reads_needs_no_run(api: ModuleType, make: Callable[..., str]):
    """Trainings, experiments, logs and the catalogue from Python, with no server."""
    training_id = make(TrainingState.COMPLETE)
    assert api.show_training("digits")["id"] == training_id
    assert [row["name"] for row in api.list_experiments()] == ["group"]
    assert [row["id"] for row in api.show_experiment("group")["trainings"]] == [training_id]
    assert api.training_logs(training_id) == []
    assert "cpu.small" in [kind.name for kind in api.instance_types()]
    assert "pytorch-2.13-cpu-py311" in [image.name for image in api.images()]
    with pytest.raises(Refused, match="Did you mean `COMPLETE`"):
        api.list_trainings(states=["COMPLTE"])


def test_a_form_and_a_spec_have_the_same_fields(api: ModuleType):
    """Every field of a training can be given in the form, and the form has no other but the request's key."""
    from flows.training.flow import create_training
    from flows.training.spec import TrainingSpec

    fields = set(inspect.signature(create_training.fn).parameters)
    assert fields == set(TrainingSpec.model_fields) | {"request_key"}


def test_defaults_of_the_form_are_those_of_the_spec(api: ModuleType):
    """What a person leaves out means the same in the form, in Python and in the records."""
    from flows.training.flow import create_training
    from flows.training.spec import TrainingSpec

    for name, parameter in inspect.signature(create_training.fn).parameters.items():
        if name != "request_key" and parameter.default is not parameter.empty:
            default = parameter.default
            field = TrainingSpec.model_fields[name].default
            assert (tuple(default) if isinstance(default, list) else default) == field, name


def test_every_flow_is_described(api: ModuleType):
    """Each has a sentence for people, and one for each of its parameters."""
    from flows.experiment import flow as experiment_flow
    from flows.reconcile import flow as reconcile_flow
    from flows.tensorboard import flow as tensorboard_flow
    from flows.training import flow as training_flow

    rooms = (experiment_flow, training_flow, tensorboard_flow, reconcile_flow)
    found = {flow.name: flow for room in rooms for flow in vars(room).values() if isinstance(flow, Flow)}
    assert len(found) >= 15
    for name, flow in found.items():
        described = flow.parameters.properties
        assert flow.description, name
        for parameter in inspect.signature(flow.fn).parameters:
            assert described[parameter].get("description"), (name, parameter)


def test_waiting_ends(api: ModuleType, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    """One that has ended is answered at once; one that has not by its deadline is an error that names its state."""
    monkeypatch.setattr(api, "POLL_SECONDS", 0.01)
    ended, waiting = make(TrainingState.COMPLETE), make()
    assert api.wait_for(ended, seconds=0)["state"] == "COMPLETE"
    told: list[str] = []
    with pytest.raises(api.TookTooLong, match="CREATE_IN_PROGRESS"):
        api.wait_for(waiting, seconds=0.05, tell=lambda found: told.append(found["state"]))
    assert set(told) == {"CREATE_IN_PROGRESS"}
    assert [row["id"] for row in api.list_trainings(states=["COMPLETE"])] == [ended]
