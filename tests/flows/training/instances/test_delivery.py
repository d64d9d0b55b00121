"""What a script made goes to its place, and is never lost on the way."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records.words import Wish
from blocks.storage.errors import AccessDenied, NoSpace, StorageError, Unreachable
from flows.training.ends.verdict import Cause
from flows.training.instances import model, patience
from flows.training.instances.delivery import stage_out
from flows.training.instances.door import END_SECONDS, DoorClosed, GivenUp
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.kept import kept_folder
from flows.training.instances.staging import stage_in
from tests.flows.training.disks import full_disk
from tests.flows.training.folders import fill, give_away, silent, texts

Made = Callable[..., Instance]


@pytest.fixture
def home(here: Platform) -> Path:
    return here.settings.home


@pytest.fixture
def trained(instance: Made) -> Instance:
    """An instance whose script has ended well and left a model."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "weights.pt").write_text("w")
    return one


def test_the_model_goes_to_its_place(instance: Made, home: Path, root: Path):
    """Below the output path, in the training's own folder; the marker says what it is made of."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "weights.pt").write_text("w")
    assert stage_out(one, home, silent) == 1
    output = root / "output" / one.assignment.training_id
    assert texts(output / "model") == {"weights.pt": "w"}
    marker = json.loads((output / "model.json").read_text())
    digest = "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"
    assert marker == {
        "training": one.assignment.training_id,
        "attempt": 1,
        "files": [{"path": "weights.pt", "size": 1, "sha256": digest}],
    }


def test_only_the_holder_marks_a_model(instance: Made, home: Path, root: Path):
    """Before the marker the attempt asks whether it is still its own; one that was given up writes none."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "weights.pt").write_text("w")
    stage_out(one, home, silent)
    assert one.door.confirmed == 1
    tell = one.progress

    def lose(*arguments: Any) -> Any:
        """Sleep past the lease while the model is sent."""
        report = tell(*arguments)
        return lambda done, total: (report(done, total), one.door.given_up.set() if done == total else None)

    one.progress = lose
    with pytest.raises((GivenUp, Interrupted)):
        stage_out(one, home, silent)
    assert not (root / "output" / one.assignment.training_id / "model.json").exists()


def test_who_was_given_up_touches_no_model(trained: Instance, home: Path, root: Path):
    """What lies in the place by then is another attempt's: neither it nor its marker goes."""
    output = root / "output" / trained.assignment.training_id
    fill(output, {"model/weights.pt": b"another's", "model.json": b"{}"})
    trained.door.given_up.set()
    with pytest.raises(GivenUp):
        stage_out(trained, home, silent)
    assert texts(output) == {"model/weights.pt": "another's", "model.json": "{}"}


def test_who_hears_nothing_touches_no_model_yet(
    trained: Instance, home: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    """While the controller is away nobody knows whose the place is: it is asked again, before each try."""
    output = root / "output" / trained.assignment.training_id
    fill(output, {"model/half.pt": b"half"})
    seen: list[dict[str, str]] = []

    def make_sure() -> None:
        seen.append(texts(output))
        if len(seen) < 3:
            raise DoorClosed("The controller does not answer.")

    monkeypatch.setattr(trained.door, "make_sure", make_sure)
    monkeypatch.setattr(trained, "pause", lambda _seconds: None)
    assert stage_out(trained, home, silent) == 1
    assert seen == [{"model/half.pt": "half"}] * 3
    assert texts(output / "model") == {"weights.pt": "w"}


def test_an_output_that_became_no_model_loses_its_marker(instance: Made, home: Path, root: Path):
    """Taken away, also twice; the files stay."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "weights.pt").write_text("w")
    stage_out(one, home, silent)
    for _ in range(2):
        model.unmark(one)
    output = root / "output" / one.assignment.training_id
    assert [file.name for file in output.iterdir()] == ["model"]


def test_what_an_earlier_attempt_left_is_no_part_of_the_model(instance: Made, home: Path, root: Path):
    """Half-sent files of an attempt that died are gone."""
    one = instance()
    stage_in(one, silent)
    old = root / "output" / one.assignment.training_id / "model"
    old.mkdir(parents=True)
    (old / "half.pt").write_text("half")
    (one.folders.model / "weights.pt").write_text("w")
    stage_out(one, home, silent)
    assert list(texts(old)) == ["weights.pt"]


def test_what_cannot_be_sent_is_told_and_not_promised(instance: Made, home: Path):
    """A file whose name no storage takes is named to the person and is not in the marker."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "a\nb").write_text("x")
    (one.folders.model / "weights.pt").write_text("w")
    assert stage_out(one, home, silent) == 1
    assert any("a\nb" in told for told in one.door.warnings)
    assert "a\\nb" not in one.storage.read(model.marker(one.assignment.output)).decode()


def test_an_output_path_of_full_length_has_room(instance: Made, home: Path, tmp_path: Path):
    """255 characters are allowed, and the model, its marker and the checkpoints still fit behind them."""
    path = f"file://{tmp_path}/{'o' * 100}"
    path += "/" + "p" * (254 - len(path))
    one = instance(output_path=path)
    stage_in(one, silent)
    (one.folders.model / "weights.pt").write_text("w")
    assert stage_out(one, home, silent) == 1
    assert one.storage.stat(model.marker(one.assignment.output)) is not None


def test_a_script_that_left_nothing_has_no_model(instance: Made, home: Path, root: Path):
    """Nothing is sent and nothing marked; the answer and a warning say so."""
    one = instance()
    stage_in(one, silent)
    assert stage_out(one, home, silent) == 0
    assert not (root / "output" / one.assignment.training_id).exists()
    assert "there is no model" in one.door.warnings[0]


def refuse(one: Instance, error: StorageError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the place answer every upload with an error."""

    def upload(*_: Any) -> None:
        raise error

    monkeypatch.setattr(one.storage, "upload", upload)


@pytest.mark.parametrize("error", [NoSpace("The quota is full."), AccessDenied("The key was denied.")])
def test_a_model_that_is_refused_is_kept(
    trained: Instance, home: Path, error: StorageError, monkeypatch: pytest.MonkeyPatch
):
    """It lies outside the attempt's folder, and the message says where, and how it gets to its place from there."""
    refuse(trained, error, monkeypatch)
    with pytest.raises(StepFailed) as caught:
        stage_out(trained, home, silent)
    folder = home / "kept" / trained.assignment.training_id / "model"
    assert texts(folder) == {"weights.pt": "w"}
    assert not trained.folders.model.exists()
    assert caught.value.cause == Cause.OUTPUT
    place = f"{trained.assignment.output}/model/"
    assert str(caught.value).startswith(str(error))
    assert f"kept in {folder} " in str(caught.value)
    assert f"; `emf storage put {folder} {place}` sends it" in str(caught.value)


def test_a_place_that_is_away_is_waited_for_for_hours(
    trained: Instance, home: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    """As long as the controller is; the progress says for what. Once it is back the model goes to its place."""
    assert patience.STAGING_OUT.seconds == END_SECONDS
    told: list[str] = []
    upload = trained.storage.upload
    refuse(trained, Unreachable("The store is away."), monkeypatch)

    def pause(_seconds: float) -> None:
        told.append(trained.door.progress)
        if len(told) == 3:
            monkeypatch.setattr(trained.storage, "upload", upload)

    monkeypatch.setattr(trained, "pause", pause)
    assert stage_out(trained, home, silent) == 1
    assert told == ["waiting, for up to 6 h, and trying again: The store is away."] * 3
    assert texts(root / "output" / trained.assignment.training_id / "model") == {"weights.pt": "w"}


def test_a_place_that_is_away_for_too_long_costs_no_model(
    trained: Instance, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """When the patience is over the end is that of a refusal: no next attempt, and the model is kept."""
    refuse(trained, Unreachable("The store is away."), monkeypatch)
    short = patience.Patience(0, patience.STAGING_OUT.passes, Cause.OUTPUT, Cause.OUTPUT)
    monkeypatch.setattr("flows.training.instances.delivery.STAGING_OUT", short)
    with pytest.raises(StepFailed, match="The model is kept in") as caught:
        stage_out(trained, home, silent)
    assert caught.value.cause == Cause.OUTPUT
    assert texts(kept_folder(home, trained.assignment.training_id)) == {"weights.pt": "w"}


def test_a_stop_while_it_is_waited_for_keeps_the_model(trained: Instance, home: Path, monkeypatch: pytest.MonkeyPatch):
    """A person's stop ends the waiting; the model is kept, and a warning says where."""
    refuse(trained, Unreachable("The store is away."), monkeypatch)
    trained.door.wish = Wish.STOP
    with pytest.raises(Interrupted):
        stage_out(trained, home, silent)
    folder = kept_folder(home, trained.assignment.training_id)
    assert texts(folder) == {"weights.pt": "w"}
    assert str(folder) in trained.door.warnings[-1]


def test_a_next_attempt_delivers_what_an_earlier_one_kept(trained: Instance, home: Path, root: Path):
    """It has no folder of its own with a model in it; what is kept goes to its place, however often."""
    folder = kept_folder(home, trained.assignment.training_id)
    folder.parent.mkdir(parents=True)
    trained.folders.model.rename(folder)
    for _ in range(2):
        assert stage_out(trained, home, silent) == 1
    assert texts(root / "output" / trained.assignment.training_id / "model") == {"weights.pt": "w"}


def test_a_full_disk_holds_up_no_model_that_is_kept(instance: Made, home: Path, root: Path):
    """Where not even the attempt's own folder can be made, what an earlier one kept still goes to its place."""
    one = instance()
    fill(kept_folder(home, one.assignment.training_id), {"weights.pt": b"w"})
    with full_disk(one.root.parent.parent):
        assert stage_out(one, home, silent) == 1
    assert texts(root / "output" / one.assignment.training_id / "model") == {"weights.pt": "w"}
    assert one.door.warnings == []


def test_a_model_that_cannot_be_read_for_its_marker_is_kept(
    trained: Instance, home: Path, unprivileged: Callable[[], None]
):
    """As one that is refused: the message says where it is."""
    give_away(home.parent)
    unprivileged()
    tell = trained.progress

    def close(*arguments: Any) -> Any:
        report = tell(*arguments)
        model_file = kept_folder(home, trained.assignment.training_id) / "weights.pt"
        return lambda done, total: (report(done, total), model_file.chmod(0))

    trained.progress = close
    with pytest.raises(StepFailed, match=r"Permission denied .* The model is kept in") as caught:
        stage_out(trained, home, silent)
    assert caught.value.cause == Cause.OUTPUT


def test_a_model_whose_folder_the_script_removed_is_none(trained: Instance, home: Path):
    """Nothing is sent, and it is no failure."""
    (trained.folders.model / "weights.pt").unlink()
    trained.folders.model.rmdir()
    assert stage_out(trained, home, silent) == 0
    assert "there is no model" in trained.door.warnings[0]


@pytest.fixture
def unmovable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script left cannot be kept."""

    def fail(*_: Any) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("flows.training.instances.delivery.keep", fail)


@pytest.mark.usefixtures("unmovable")
def test_a_model_that_cannot_be_kept_is_sent_from_where_it_is(trained: Instance, home: Path, root: Path):
    """It goes to its place all the same, and a warning names the fault."""
    assert stage_out(trained, home, silent) == 1
    assert texts(root / "output" / trained.assignment.training_id / "model") == {"weights.pt": "w"}
    assert "Operation not permitted" in trained.door.warnings[0]


@pytest.mark.usefixtures("unmovable")
def test_a_model_that_is_not_kept_is_not_promised(trained: Instance, home: Path, monkeypatch: pytest.MonkeyPatch):
    """Where its place refuses it as well, the message says that it goes with its attempt."""
    refuse(trained, AccessDenied("The key was denied."), monkeypatch)
    with pytest.raises(StepFailed, match="is removed soon after the attempt's end"):
        stage_out(trained, home, silent)


def test_a_platform_that_goes_down_is_not_waited_for(trained: Instance, home: Path, monkeypatch: pytest.MonkeyPatch):
    """The model is kept and a next attempt puts it in its place: the pause is obeyed, and nobody is warned."""
    trained.door.wish = Wish.SUSPEND
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        refuse(trained, Unreachable("The store is away."), patch)
        patch.setattr("flows.training.instances.delivery.STAGING_OUT", replace(patience.STAGING_OUT, seconds=1))
        stage_out(trained, home, silent)
    assert texts(kept_folder(home, trained.assignment.training_id)) == {"weights.pt": "w"}
    assert trained.door.warnings == []
    trained.door.wish = Wish.NONE
    assert stage_out(trained, home, silent) == 1
