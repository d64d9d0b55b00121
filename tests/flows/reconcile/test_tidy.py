"""What ended attempts leave: kept where it is worth it, withdrawn where it must not count, then removed."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.words import TrainingState
from blocks.storage.location import parse
from flows.reconcile import keeping
from flows.reconcile import tidy as tidying
from flows.reconcile.at_work import at_work
from flows.reconcile.in_turn import InTurn
from flows.reconcile.tidy import PATIENCE_SECONDS, tidy
from flows.training.checkpoints.start import copy_folder
from tests.flows.conftest import checkpoint_folder
from tests.flows.reconcile.conftest import Clock
from tests.flows.training.folders import give_away, texts

T = TrainingState
Ended = Callable[..., str]


@pytest.fixture
def in_turn(clock: Clock) -> InTurn:
    return InTurn(clock)


@pytest.fixture
def in_vain(in_turn: InTurn, clock: Clock) -> Callable[[str], str]:
    """Let what an attempt left have been tried for as long as anything is; returns its id."""

    def go(attempt_id: str) -> str:
        in_turn.failed(attempt_id)
        clock.now += PATIENCE_SECONDS
        return attempt_id

    return go


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception, but: str = "") -> list[str]:
    """Let what attempts left be refused, all but one's; returns whose was tried."""
    tried: list[str] = []

    def salvage(_platform: Platform, attempt_id: str) -> None:
        tried.append(attempt_id)
        if attempt_id != but:
            raise error

    monkeypatch.setattr(keeping, "salvage", salvage)
    return tried


def test_what_a_killed_run_could_not_send_is_kept_before_its_folder_goes(here: Platform, ended: Ended, attempt_of: Any):
    """A checkpoint that was written in the last seconds of a cancelled run is committed."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    assert tidy(here) == [attempt_id]
    path = attempt_of(attempt_id).checkpoints[0].path
    assert here.storage.read(parse(f"{path}/weights")) == b"new"
    assert not (here.settings.home / "work" / attempt_id).exists()


@pytest.mark.parametrize(("to", "files"), [(T.COMPLETE, {"weights": "x"}), (T.STOPPED, {})])
def test_nothing_to_keep(here: Platform, ended: Ended, attempt_of: Any, to: TrainingState, files: dict[str, str]):
    """A training that completed, and one that wrote nothing, have no more to keep."""
    attempt_id = ended(to, files)
    assert tidy(here) == [attempt_id]
    assert attempt_of(attempt_id).checkpoints == []


FAULTS = [Temporary("the place is away"), Permanent("the place is full"), OSError("Input/output error")]


@pytest.mark.parametrize("error", FAULTS)
def test_one_that_cannot_be_kept_blocks_no_other(
    here: Platform, ended: Ended, in_turn: InTurn, in_vain: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    """Its folder stays until its place is back, whatever is said; the others go. After an hour it is given up."""
    away, other, old = ended(T.STOPPED, {}), ended(T.STOPPED, {}), in_vain(ended(T.STOPPED, {}))
    with monkeypatch.context() as patch:
        refuse(patch, error, but=other)
        assert sorted(tidy(here, in_turn)) == sorted([other, old])
    assert (here.settings.home / "work" / away).is_dir()
    assert f"could not be kept: {error}" in last_event(here, old)
    assert tidy(here) == [away]


@pytest.mark.parametrize("hours_ago", [0, 9, -9])
def test_the_hour_counts_from_the_first_try(
    here: Platform, ended: Ended, in_turn: InTurn, clock: Clock, hours_ago: int, monkeypatch: pytest.MonkeyPatch
):
    """Neither while nobody tried, nor by a clock that is set: the first fault costs nothing."""
    attempt_id = ended(T.STOPPED, {}, ago=hours_ago * 3600)
    refuse(monkeypatch, Temporary("the place is away"))
    for moment in (0, 600, PATIENCE_SECONDS - 60):
        clock.now = moment
        assert tidy(here, in_turn) == []
    clock.now = PATIENCE_SECONDS
    assert tidy(here, in_turn) == [attempt_id]


def test_what_fails_is_tried_less_and_less_often(
    here: Platform, ended: Ended, in_turn: InTurn, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Each try may send all of a large checkpoint for nothing; who looks once tries all."""
    attempt_id = ended(T.STOPPED, {})
    tried = refuse(monkeypatch, Permanent("over its quota"))
    for pause in (2, 4, 8):
        tidy(here, in_turn)
        clock.now += 0.9 * pause - 0.1
        tidy(here, in_turn)
        clock.now += pause
    assert tried == [attempt_id] * 3
    tidy(here)
    assert len(tried) == 4


def copied(here: Platform, attempt_id: str) -> tuple[Path, Path]:
    """Make the copy that was on its way when a run was killed; returns it, and where it is kept."""
    copy = copy_folder(here.settings.home / "work" / attempt_id)
    (copy / "epoch").mkdir(parents=True)
    (copy / "epoch" / "weights").write_text("whole")
    return copy, here.settings.home / "kept" / attempt_id.removesuffix("-a1") / "checkpoint-1"


@pytest.mark.parametrize("disks", ["one disk", "two disks"])
def test_a_whole_checkpoint_that_will_never_be_kept_is_put_by(
    here: Platform,
    ended: Ended,
    in_turn: InTurn,
    in_vain: Any,
    disks: str,
    places: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
):
    """It is moved to its training's, and is told of with how it is sent; the rest of the folder goes."""
    attempt_id = in_vain(ended(T.STOPPED, {"weights": "torn"}))
    copy, kept = copied(here, attempt_id)
    rename = Path.rename

    def move(source: Path, target: Path) -> Path:
        if source == copy and disks == "two disks":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", move)
    refuse(monkeypatch, Permanent("no such bucket"))
    assert tidy(here, in_turn) == [attempt_id]
    assert texts(kept.parent) == {"checkpoint-1/epoch/weights": "whole"}
    assert list((here.settings.home / "work").iterdir()) == []
    told, place = last_event(here, attempt_id), f"{places['checkpoint_path']}/{kept.parent.name}/attempt-1/kept/"
    assert "what attempt 1 left could not be kept: no such bucket" in told
    assert f"kept in {kept} until" in told
    assert f"`emf storage put {kept} {place}`" in told
    tidy(here)
    assert kept.is_dir()


def test_what_cannot_be_put_by_stays(
    here: Platform, ended: Ended, in_turn: InTurn, in_vain: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """A checkpoint that is whole is deleted by no fault of this machine's disk; the next look moves it."""
    attempt_id = in_vain(ended(T.STOPPED, {}))
    copy, kept = copied(here, attempt_id)
    refuse(monkeypatch, Permanent("no such bucket"))
    (here.settings.home / "kept").write_text("in the way")
    assert tidy(here, in_turn) == []
    assert texts(copy) == {"epoch/weights": "whole"}
    (here.settings.home / "kept").unlink()
    clock.now += 60
    assert tidy(here, in_turn) == [attempt_id]
    assert texts(kept) == {"epoch/weights": "whole"}


def test_a_training_that_completed_has_no_more_to_put_by(
    here: Platform, ended: Ended, in_turn: InTurn, in_vain: Any, monkeypatch: pytest.MonkeyPatch
):
    """Its model is in its place: nothing would be made of its checkpoint."""
    attempt_id = in_vain(ended(T.COMPLETE, {}, state=T.COMPLETE_IN_PROGRESS))
    _, kept = copied(here, attempt_id)
    refuse(monkeypatch, Permanent("no such bucket"))
    assert tidy(here, in_turn) == [attempt_id]
    assert not kept.exists()
    assert "kept in" not in last_event(here, attempt_id)


def test_a_folder_that_a_script_closed_is_tidied(here: Platform, ended: Ended, attempt_of: Any, unprivileged: Any):
    """What may not be written, or not even be listed, is opened, kept and removed; what a link leads to is left."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    folder, outside = checkpoint_folder(here, attempt_id), here.settings.home / "outside"
    closed = {folder / "written": 0o555, folder / "secret": 0o000, outside: 0o555}
    for inner in closed:
        inner.mkdir()
        (inner / "file").write_text("x")
    (folder / "link").symlink_to(outside)
    give_away(here.settings.home.parent)
    for inner, mode in closed.items():
        inner.chmod(mode)
    unprivileged()
    assert tidy(here) == [attempt_id]
    assert list((here.settings.home / "work").iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o555
    assert [c.files for c in attempt_of(attempt_id).checkpoints] == [3]


def test_what_cannot_be_removed_is_told_once(here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """What it holds is kept once, it is named to a person, and nothing is asked of any place again."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    monkeypatch.setattr(tidying.shutil, "rmtree", lambda *_given, **_how: None)
    assert tidy(here) == [attempt_id]
    told = last_event(here, attempt_id)
    assert f"{attempt_id}.tidied by hand" in told
    monkeypatch.setattr(keeping, "salvage", lambda *_given: 1 / 0)
    assert tidy(here) == []
    assert last_event(here, attempt_id) == told
    monkeypatch.undo()
    tidy(here)
    assert list((here.settings.home / "work").iterdir()) == []


def last_event(here: Platform, attempt_id: str) -> str:
    with here.records.reading() as session:
        return trainings.events_of(session, "training", attempt_id.removesuffix("-a1"))[-1].message


def test_what_still_runs_keeps_its_folder(here: Platform, ended: Ended, script: Any):
    """A script in its grace may still save there."""
    attempt_id = ended(T.STOPPED, {})
    process = script(attempt_id)
    assert tidy(here) == []
    process.kill()
    process.wait(10)
    assert tidy(here) == [attempt_id]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Have somebody tidy who hangs at one attempt; returns what salvage is called with."""
    began, is_over, salvaged, threads = threading.Event(), threading.Event(), list[str](), list[threading.Thread]()

    def at(here: Platform, silent: str) -> list[str]:
        def salvage(_platform: Platform, attempt_id: str) -> None:
            salvaged.append(attempt_id)
            if attempt_id == silent:
                began.set()
                assert is_over.wait(20)

        monkeypatch.setattr(keeping, "salvage", salvage)
        threads.append(threading.Thread(target=tidy, args=(here,)))
        threads[0].start()
        assert began.wait(20)
        return salvaged

    yield at
    is_over.set()
    for thread in threads:
        thread.join(20)


def test_a_place_that_is_silent_holds_up_no_other_attempt(here: Platform, ended: Ended, hanging: Any):
    """While one waits for it, another tidies what has its place; neither does what the other does."""
    silent = ended(T.STOPPED, {})
    salvaged = hanging(here, silent)
    other = ended(T.STOPPED, {})
    assert tidy(here) == [other]
    assert salvaged == [silent, other]


def test_of_one_training_one_attempt_is_tidied_at_a_time(here: Platform, ended: Ended, hanging: Any):
    """Who keeps what the last of them left forgets what an earlier one has just sent, which nobody knows of yet."""
    first = ended(T.CREATE_IN_PROGRESS, {})
    with here.records.writing() as session:
        training = trainings.find(session, first.removesuffix("-a1"))
        second = verbs.grant(session, training, machine="here", memory_bytes=1, gpus=[])
        verbs.end(session, second, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    salvaged = hanging(here, first)
    (here.settings.home / "work" / second.id).mkdir()
    assert tidy(here) == []
    assert salvaged == [first]


def test_a_round_ends_for_what_was_left_meanwhile(here: Platform, ended: Ended):
    """After its time it begins with no other."""
    ids = {ended(T.STOPPED, {}) for _ in range(3)}
    for left in (2, 1, 0):
        ids -= set(tidy(here, within=-1))
        assert len(ids) == left


def test_what_another_has_tidied_meanwhile_is_no_fault(
    here: Platform, ended: Ended, in_turn: InTurn, monkeypatch: pytest.MonkeyPatch
):
    """It has gone between the look and its turn."""
    attempt_id = ended(T.STOPPED, {})
    look = tidying._left

    def looking(platform: Platform) -> Any:
        found = look(platform)
        monkeypatch.setattr(tidying, "_left", look)
        assert tidy(platform) == [attempt_id]
        return found

    monkeypatch.setattr(tidying, "_left", looking)
    assert tidy(here, in_turn) == []
    assert list(in_turn.due([attempt_id])) == [attempt_id]


def test_who_tidies_is_seen_at_work(here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """From before anything is kept until the folder has gone, and not between two tries."""
    attempt_id = ended(T.STOPPED, {})
    home = here.settings.home
    seen: list[bool] = []

    def look(*_given: Any) -> None:
        seen.append(tidying.is_being_tidied(home, attempt_id))
        raise Temporary("the place is away")

    assert not tidying.is_being_tidied(home, attempt_id)
    monkeypatch.setattr(keeping, "salvage", look)
    assert tidy(here) == []
    assert seen == [True]
    assert not tidying.is_being_tidied(home, attempt_id)


def test_a_folder_at_which_another_is_at_work_is_left(here: Platform, ended: Ended):
    """It is found again at the next look."""
    attempt_id = ended(T.STOPPED, {})
    with at_work(here.settings.home / "work" / attempt_id):
        assert tidy(here) == []
    assert tidy(here) == [attempt_id]


@pytest.mark.parametrize("kept", ["model", "checkpoint-1"])
@pytest.mark.parametrize(("state", "is_left"), [(T.COMPLETE, False), (T.FAIL_TRAIN, True), (T.STOPPED, True)])
def test_what_is_kept_goes_once_the_model_is_in_its_place(
    here: Platform, make: Callable[..., str], state: TrainingState, is_left: bool, kept: str
):
    """Of a training that is COMPLETE; every other's is the only one that there is."""
    folder = here.settings.home / "kept" / make(state) / kept
    folder.mkdir(parents=True)
    (here.settings.home / "work").mkdir()
    tidy(here)
    assert folder.is_dir() == is_left


def test_a_kept_model_goes_although_its_training_is_deleted(here: Platform, make: Callable[..., str]):
    """What has completed has, whatever a person does with it a second later."""
    training_id = make(T.COMPLETE)
    folder = here.settings.home / "kept" / training_id / "model"
    folder.mkdir(parents=True)
    (here.settings.home / "work").mkdir()
    with here.records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, training_id))
    tidy(here)
    assert not folder.is_dir()
