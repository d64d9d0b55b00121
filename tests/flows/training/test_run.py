"""One attempt, from its start to its evidence; the steps themselves are tried elsewhere."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from blocks.logs import LocalLogs, LocalSink
from blocks.logs.errors import LogStoreAway
from blocks.platform import Platform
from blocks.storage.errors import AccessDenied, NoSpace, Unreachable
from flows.training import run
from flows.training.assignment import Assignment
from flows.training.ends.verdict import Cause, Evidence
from flows.training.instances.door import Door, GivenUp
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.kept import keep, kept_folder
from tests.flows.training.disks import full_disk
from tests.flows.training.folders import fill


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were taken; a script ends well, and what it made is refused."""
    taken: list[str] = []

    def step(name: str, answer: object = None) -> None:
        def go(*_: object) -> object:
            taken.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(run, name, go)

    step("prepare_image")
    step("stage_in")
    step("install")
    step("run_script", Evidence(Cause.EXIT, exit_code=0))
    step("stage_out", StepFailed(Cause.OUTPUT, "The quota is full."))
    return taken


@pytest.fixture
def one(instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch) -> Instance:
    made = instance()
    monkeypatch.setattr(run, "instances_of", lambda _door, _assignment: nullcontext([made]))
    monkeypatch.setattr(made.door, "stage_out", lambda _evidence: None)
    fill(made.folders.model, {"weights.pt": b"w"})
    return made


@pytest.mark.parametrize(
    ("before", "told"),
    [("", []), ("attempt 1 ended: It was killed.", ["attempt 1 begins; attempt 1 ended: It was killed."])],
)
def test_the_log_tells_why_it_begins_again(
    one: Instance, here: Platform, steps: list[str], before: str, told: list[str]
):
    """Between the lines of two attempts stands how the first ended; a first attempt has nothing to tell."""
    one.assignment = one.assignment.model_copy(update={"before": before})
    run.run_to_end([one])
    assert steps
    lines = LocalLogs(here.settings.home).tail(one.assignment.training_id, 10)
    assert [line.body for line in lines if "begins" in line.body] == told


def test_a_script_that_ended_well_is_never_run_again(one: Instance, here: Platform, steps: list[str]):
    """A next attempt, whatever made it necessary, only puts the model that is kept in its place."""
    keep(one, here.settings.home)
    evidence = run.carry_out(one.door, one.assignment)
    assert steps == ["stage_out"]
    assert (evidence.cause, evidence.error) == (Cause.OUTPUT, "The quota is full.")


def test_a_model_is_out_of_the_attempts_folder_once_all_scripts_have_ended_well(
    one: Instance, here: Platform, monkeypatch: pytest.MonkeyPatch
):
    """From then on a kill costs no model any more, whatever is still waited for."""
    seen: list[bool] = []
    folder = kept_folder(here.settings.home, one.assignment.training_id)

    def together(*given: Any) -> tuple[Evidence, bool]:
        given[-1]()
        seen.append(folder.is_dir())
        return Evidence(Cause.EXIT, exit_code=0), False

    monkeypatch.setattr(run, "run_together", together)
    monkeypatch.setattr(run, "get_run_logger", lambda: logging.getLogger("test"))
    run.run_script.fn([one], [])
    assert seen == [True]


def test_a_first_attempt_takes_every_step(one: Instance, steps: list[str]):
    """In this order."""
    run.carry_out(one.door, one.assignment)
    assert steps == ["prepare_image", "stage_in", "install", "run_script", "stage_out"]


def test_a_model_that_cannot_be_moved_ends_no_attempt(one: Instance, monkeypatch: pytest.MonkeyPatch):
    """The script ended well all the same."""

    def together(*given: Any) -> tuple[Evidence, bool]:
        given[-1]()
        return Evidence(Cause.EXIT, exit_code=0), False

    def fail(*_: object) -> None:
        raise OSError("Input/output error")

    monkeypatch.setattr(run, "keep", fail)
    monkeypatch.setattr(run, "run_together", together)
    monkeypatch.setattr(run, "get_run_logger", lambda: logging.getLogger("test"))
    assert run.run_script.fn([one], []) == Evidence(Cause.EXIT, exit_code=0)


@pytest.fixture
def handed(instance: Callable[..., Instance]) -> tuple[Door, Assignment]:
    """What a claim answers; nothing of the attempt is made yet."""
    one = instance()
    return one.door, one.assignment.model_copy(update={"number": 2})  # the first's log is held by the fixture


def test_a_log_that_another_process_holds_is_told(instance: Callable[..., Instance]):
    """An attempt that cannot even begin says why, and is not taken for a lost machine."""
    one = instance()  # which holds its log
    evidence = run.carry_out(one.door, one.assignment)
    assert evidence.cause == Cause.PLATFORM
    assert "LogInUse: Another process writes" in evidence.error


def test_a_disk_without_room_for_the_log_is_storage(handed: tuple[Door, Assignment], here: Platform):
    """It is tried again like every other disk that is full."""
    door, assignment = handed
    with full_disk(here.settings.home / "logs" / "trainings" / assignment.training_id):
        evidence = run.carry_out(door, assignment)
    assert evidence.cause == Cause.STORAGE
    assert "No space left on device" in evidence.error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (StepFailed(Cause.DATA, "not there", ("last",)), Evidence(Cause.DATA, error="not there", last_lines=("last",))),
        (Interrupted(), Evidence(Cause.STOPPED)),
        (NoSpace("The disk is full."), Evidence(Cause.STORAGE, error="The disk is full.")),
        (Unreachable("The mount is away."), Evidence(Cause.STORAGE, error="The mount is away.")),
        (AccessDenied("No."), Evidence(Cause.PLATFORM, error="AccessDenied: No.")),
        (KeyError("odd"), Evidence(Cause.PLATFORM, error="KeyError: 'odd'")),
    ],
)
def test_whatever_ends_it_becomes_evidence(
    handed: tuple[Door, Assignment], monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: Evidence
):
    """A step's failure with its cause, a stop, a disk without room, and what nobody foresaw."""

    def fail(_instances: object) -> Evidence:
        raise raised

    monkeypatch.setattr(run, "run_to_end", fail)
    assert run.carry_out(*handed) == expected


def test_an_attempt_that_was_given_up_has_no_evidence(handed: tuple[Door, Assignment], monkeypatch: pytest.MonkeyPatch):
    """There is nobody to tell."""

    def fail(_instances: object) -> Evidence:
        raise GivenUp("This attempt has ended.")

    monkeypatch.setattr(run, "run_to_end", fail)
    with pytest.raises(GivenUp):
        run.carry_out(*handed)


def test_a_log_that_cannot_be_closed_changes_no_end(handed: tuple[Door, Assignment], monkeypatch: pytest.MonkeyPatch):
    """How the script ended is known by then."""
    close = LocalSink.close

    def full(sink: LocalSink) -> None:
        close(sink)
        raise LogStoreAway("No space left on device.")

    evidence = Evidence(Cause.EXIT, exit_code=3)
    with monkeypatch.context() as patch:
        patch.setattr(LocalSink, "close", full)
        patch.setattr(run, "run_to_end", lambda _instances: evidence)
        patch.setattr(type(handed[0]), "stage_out", lambda _door, _evidence: None)
        assert run.carry_out(*handed) == evidence
