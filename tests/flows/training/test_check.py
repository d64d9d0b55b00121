"""Everything that can be said against a request: all of it at once, with nothing made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from blocks.catalogue.catalogue import GIB, Machine
from blocks.platform import Platform
from blocks.pools.interpreter import WANTED, Interpreter
from blocks.records import experiments
from blocks.records.tables import Event, Experiment, Training
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState
from blocks.storage.location import Location
from flows.faults import Refused
from flows.training.check import check

TWO_CORES = Machine(vcpus=2, memory_bytes=4 * GIB)


def refused(here: Platform, request: dict[str, Any], machine: Machine | None = TWO_CORES) -> dict[str, str]:
    """Return the faults of a request by field."""
    with pytest.raises(Refused) as caught:
        check(here, request, machine)
    return {fault.field: str(fault) for fault in caught.value.faults}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "places"


def test_a_request_that_can_be_carried_out(here: Platform, places: dict[str, Any], root: Path):
    """It comes back as it will be recorded, without a warning, and its places are as they were."""
    before = sorted(root.rglob("*"))
    found = check(here, places, TWO_CORES)
    assert (found.spec.name, found.warnings) == ("digits", [])
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"name": ""}, "name", "is empty"),
        ({"image": "pytorch-2.13-cpu-py31"}, "image", "Did you mean `pytorch-2.13-cpu-py311`"),
        ({"instance_type": "cpu.tiny"}, "instance_type", "there is no such instance type"),
        ({"instance_type": "cpu.large", "instance_count": 2}, "instance_type", "can never run here"),
        ({"image": "pytorch-2.13-gpu-py311"}, "image, instance_type", "is for GPU"),
        ({"entry_point": "main.py"}, "entry_point", "large.py, latin.py, train.py."),
        ({"entry_point": "broken.py"}, "entry_point", "Python cannot read line 2"),
        ({"entry_point": "latin.py"}, "entry_point", "is not text in UTF-8"),
        ({"entry_point": "large.py"}, "entry_point", "1048576 bytes"),
        ({"entry_point": "folder.py"}, "entry_point", "is not at"),
        ({"algorithm_path": "file://{root}/nowhere"}, "algorithm_path", "holds no files"),
        ({"algorithm_path": "file://{root}/code/../data"}, "algorithm_path", "has the part '..'"),
        ({"algorithm_path": "obs://other.host/code/x"}, "algorithm_path", "has no keys for the object store"),
        ({"algorithm_path": "nas://nas-9:/x"}, "algorithm_path", "no mount for the NAS nas-9"),
        ({"data_sets": [{"name": "d", "path": "file://{root}/none"}]}, "data_sets[0].path", "holds no files"),
        ({"data_sets": [{"name": "d", "path": "file://{root}/empty"}]}, "data_sets[0].path", "holds no files"),
        ({"data_sets": [{"name": "d", "path": "file://{root}/link"}]}, "data_sets[0].path", "holds no files"),
        ({"output_path": "file://{root}/code/train.py"}, "output_path", "is a file"),
        ({"output_path": "file://{root}/code/train.py/x"}, "output_path", "Not a directory"),
        ({"checkpoint_path": "file://{root}/code/train.py"}, "checkpoint_path", "is a file"),
        ({"output_path": "file://{home}/output"}, "output_path", "the platform's own folder"),
        ({"output_path": "file:///"}, "output_path", "whole disk"),
        ({"checkpoint_path": "s3://bucket/x"}, "checkpoint_path", "does not start with obs://"),
        ({"hyperparameters": {"a-b": "1", "a_b": "2"}}, "hyperparameters", "EM_HP_A_B"),
        ({"colour": "red"}, "colour", "there is no such field"),
        ({"maximum_time": "721h"}, "maximum_time", "is too long"),
    ],
)
def test_each_fault_is_found(
    here: Platform, places: dict[str, Any], root: Path, fields: dict[str, Any], field: str, said: str
):
    """One thing wrong with an otherwise good request is one fault, with its field and its value or what would do."""
    (root / "code" / "broken.py").write_text("import sys\ndef f(:\n")
    (root / "code" / "latin.py").write_bytes(b"# \xe9\n")
    (root / "code" / "large.py").write_text("#" * (1 << 20) + "\n")
    (root / "code" / "folder.py").mkdir()
    (root / "empty").mkdir()
    (root / "link").symlink_to("/etc/nowhere")

    def there(value: Any) -> Any:
        if isinstance(value, list):
            return [{**entry, "path": there(entry["path"])} for entry in value]
        known = {"{root}": str(root), "{home}": str(here.settings.home)}
        for word, path in known.items() if isinstance(value, str) else ():
            value = value.replace(word, path)
        return value

    found = refused(here, places | {name: there(value) for name, value in fields.items()})
    assert list(found) == [field]
    assert said in found[field]


def test_every_fault_comes_in_one_answer(here: Platform, places: dict[str, Any], root: Path):
    """Faults of the rules, the catalogue and the places together, in the order of the fields."""
    found = refused(
        here,
        places
        | {
            "name": "x" * 51,
            "algorithm_path": f"file://{root}/nowhere",
            "image": "none",
            "instance_type": "none",
            "data_sets": [{"name": "a", "path": f"file://{root}/none"}, {"name": "a", "path": "ftp://x"}],
            "output_path": f"file://{root}/code/train.py",
            "checkpoint_path": f"file://{here.settings.home}/c",
            "tags": {"a": "x" * 256},
            "colour": 1,
        },
    )
    data_sets = {"data_sets", "data_sets[0].path", "data_sets[1].path"}
    told = list(found)
    assert set(told[4:7]) == data_sets
    assert told[:4] == ["name", "algorithm_path", "image", "instance_type"]
    assert told[7:] == ["output_path", "checkpoint_path", "tags['a']", "colour"]


def test_what_is_refused_leaves_nothing(here: Platform, places: dict[str, Any], root: Path):
    """No record, no event, no probe object and no folder of a refused request remains."""
    before = sorted(root.rglob("*"))
    refused(here, places | {"output_path": f"file://{root}/deep/er/output", "entry_point": "none.py"})
    assert sorted(root.rglob("*")) == before
    with here.records.reading() as session:
        for table in (Experiment, Training, Event):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_output_that_cannot_be_written_is_refused(
    here: Platform, places: dict[str, Any], root: Path, unprivileged: Callable[[], None]
):
    """A folder that only another may write is found before anything is recorded."""
    for folder in (root, *root.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    (root / "output").chmod(0o555)
    (root / "checkpoints").chmod(0o777)
    for file in (here.settings.home / "records.db", here.settings.home):
        file.chmod(0o777)
    unprivileged()
    found = refused(here, places)
    assert list(found) == ["output_path"]
    assert "Permission denied" in found["output_path"]


def test_data_larger_than_the_data_storage(here: Platform, places: dict[str, Any], root: Path):
    """The sum over all data sets counts; the fault says how large each is and what to give."""
    for name in ("one", "two"):
        (root / name).mkdir()
        with (root / name / "sparse").open("wb") as file:
            file.truncate(3 * GIB // 4)
    data_sets = [{"name": name, "path": f"file://{root}/{name}"} for name in ("one", "two")]
    found = refused(here, places | {"data_sets": data_sets, "data_storage_gb": 1})
    assert list(found) == ["data_storage_gb"]
    assert "one 0.8 GB, two 0.8 GB" in found["data_storage_gb"]
    assert "Give at least 2." in found["data_storage_gb"]
    assert check(here, places | {"data_sets": data_sets, "data_storage_gb": 2}, TWO_CORES)


def test_a_script_is_read_once(here: Platform, places: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """Its text serves its syntax and its arguments."""
    read, paths = here.storage.read, list[str]()

    def counted(place: Location, limit: int) -> bytes:
        paths.append(str(place))
        return read(place, limit)

    monkeypatch.setattr(here.storage, "read", counted)
    assert check(here, places, TWO_CORES)
    assert paths == [f"{places['algorithm_path']}/train.py"]


def test_what_cannot_be_counted_in_time_is_a_warning(
    here: Platform, places: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """A data set with more files than can be listed by the deadline is accepted, and its sender told."""
    monkeypatch.setattr("flows.training.check.COUNT_SECONDS", -1.0)
    (warning,) = check(here, places, TWO_CORES).warnings
    assert "digits at least 0.0 GB" in warning


def test_files_beside_a_missing_script_are_not_all_listed(
    here: Platform, places: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
):
    """The remedy names what the first files tell, and says that there are more."""
    monkeypatch.setattr("flows.training.check.FILES_LOOKED_AT", 2)
    for number in range(3):
        (root / "code" / f"a{number}.txt").write_text("x")
    found = refused(here, places | {"entry_point": "main.py"})
    assert "no Python file at the algorithm path among its first 2 files" in found["entry_point"]


@pytest.fixture(autouse=True)
def runs_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """This machine has the images' Python; call it to say that scripts run with another 3.x."""

    def say(minor: int) -> None:
        monkeypatch.setattr("flows.training.check.interpreter", lambda: Interpreter("python", (3, minor)))

    say(WANTED[1])
    return say


@pytest.mark.parametrize(("label", "minor", "is_refused"), [("3.11", 11, True), ("9.9", 11, True), ("3.11", 99, False)])
def test_a_script_is_read_as_the_python_that_it_runs_with_does(
    here: Platform,
    places: dict[str, Any],
    tmp_path: Path,
    runs_with: Callable[[int], None],
    label: str,
    minor: int,
    is_refused: bool,
):
    """What this Python cannot read is a fault unless the one that runs it is newer, whatever the image is called."""
    image = {"name": "own", "core_type": "CPU", "framework": "PYTHON", "framework_version": "1", "python": label}
    (here.settings.home / "catalogue").mkdir()
    text = json.dumps([image | {"environment": "pytorch"}])
    (here.settings.home / "catalogue" / "images.yaml").write_text(text)
    (tmp_path / "places" / "code" / "train.py").write_text("match this with the future:\n")
    runs_with(minor)
    if is_refused:
        found = refused(here, places | {"image": "own"})
        assert "Python cannot read line 1" in found["entry_point"]
    else:
        assert check(here, places | {"image": "own"}, TWO_CORES).spec.image == "own"


def test_another_python_than_the_images_is_a_warning(
    here: Platform, places: dict[str, Any], runs_with: Callable[[int], None]
):
    """Who asks for an image that this machine makes with another Python is told before the script runs."""
    assert check(here, places, TWO_CORES).warnings == []
    runs_with(99)
    assert ["Python 3.99" in warning for warning in check(here, places, TWO_CORES).warnings] == [True]


def test_a_name_that_the_script_does_not_know_is_a_warning(here: Platform, places: dict[str, Any]):
    """The training can be made; the warning has the nearest name that the script knows."""
    found = check(here, places | {"hyperparameters": {"learning-rat": "1", "lr_rate": "1"}}, TWO_CORES)
    assert len(found.warnings) == 1
    assert "`--lr_rate`" in found.warnings[0]
    assert "`--learning-rate`" in found.warnings[0]


@pytest.mark.parametrize(
    "steps", [["CREATE_IN_PROGRESS"], ["CREATE_FAILED"], ["CREATE_IN_PROGRESS", "ACTIVE", "DELETE_IN_PROGRESS"]]
)
def test_an_experiment_that_is_not_active(here: Platform, places: dict[str, Any], steps: list[str]):
    """A training cannot join an experiment that is being made, failed or deleted; the remedy fits its state."""
    with here.records.writing() as session:
        row = experiments.record(session, "group", "", {})
        for step in steps:
            transition(session, row, ExperimentState(step))
    found = refused(here, places)
    assert list(found) == ["experiment"]
    assert f"this experiment is {steps[-1]}" in found["experiment"]
    assert ("emf experiment retry" in found["experiment"]) == (steps[-1] == "CREATE_FAILED")


@pytest.mark.parametrize(
    ("request_key", "said"), [("k" * 256, "has 256 characters"), ("a\ud800", "control character"), (5, "is not text")]
)
def test_a_request_key_is_checked_with_the_other_fields(
    here: Platform, places: dict[str, Any], request_key: object, said: str
):
    """What is wrong with it comes in the same answer as what is wrong with the rest."""
    with pytest.raises(Refused) as caught:
        check(here, places | {"name": "", "experiment": "a\ud800"}, TWO_CORES, request_key)
    assert [fault.field for fault in caught.value.faults] == ["name", "experiment", "request_key"]
    assert said in str(caught.value.faults[-1])


def test_an_experiment_is_the_same_in_every_spelling(here: Platform, places: dict[str, Any]):
    """A name in decomposed letters, as macOS writes it, is the experiment of the composed name."""
    with here.records.writing() as session:
        experiments.record(session, "실험", "", {})
    decomposed = "\u1109\u1175\u11af\u1112\u1165\u11b7"
    assert "CREATE_REQUESTED" in refused(here, places | {"experiment": decomposed})["experiment"]


def test_paths_of_full_length_are_checked_whole(here: Platform, places: dict[str, Any], tmp_path: Path):
    """An algorithm path and an entry point that together pass 255 characters are as good as short ones."""
    folder = tmp_path / ("a" * 100)
    entry = f"{'b' * 100}/{'c' * 80}/train.py"
    (folder / entry).parent.mkdir(parents=True)
    (folder / entry).write_text("print('hi')\n")
    request = places | {"algorithm_path": f"file://{folder}", "entry_point": entry, "hyperparameters": {}}
    assert len(request["algorithm_path"] + entry) > 255
    assert check(here, request, TWO_CORES).spec.entry_point == entry


@pytest.mark.parametrize("value", [None, 5, [], {}, {"path": 1}, [None, 3, {"path": None}], "file://x"])
@pytest.mark.parametrize("field", ["algorithm_path", "entry_point", "data_sets", "experiment", "output_path", "image"])
def test_no_value_makes_a_traceback(here: Platform, places: dict[str, Any], field: str, value: Any):
    """Whatever stands in a field, it is accepted or refused, never an error of ours."""
    try:
        check(here, places | {field: value}, TWO_CORES)
    except Refused as refusal:
        assert refusal.faults


def test_anothers_checkpoint_is_only_read(here: Platform, places: dict[str, Any], root: Path):
    """Its folder need not be writable, and stays as it is; what is tried is the folder that will be written to."""
    theirs = "checkpoints/tr-0123456789ab/attempt-1/checkpoint-3"
    (root / theirs).mkdir(parents=True)
    (root / theirs / "model.pt").write_text("weights")
    (root / f"{theirs}.committed").write_text("marker")
    tried: list[tuple[str, bool]] = []
    probe = here.storage.probe
    vars(here.storage)["probe"] = lambda place, write: tried.append((str(place), write)) or probe(place, write)
    check(here, places | {"checkpoint_path": f"file://{root}/{theirs}"}, TWO_CORES)
    assert (f"file://{root}/checkpoints", True) in tried
    assert (f"file://{root}/{theirs}", False) in tried
    assert (f"file://{root}/{theirs}", True) not in tried


@pytest.mark.parametrize("folder", ["tr-0123456789ab", "a-copy-of-it"])
def test_anothers_checkpoint_must_be_there(here: Platform, places: dict[str, Any], root: Path, folder: str):
    """A training that should go on from it would begin anew otherwise."""
    path = f"file://{root}/checkpoints/{folder}/attempt-1/checkpoint-3"
    assert "holds no files" in refused(here, places | {"checkpoint_path": path})["checkpoint_path"]


def test_what_was_never_committed_is_not_gone_on_from(here: Platform, places: dict[str, Any], root: Path):
    """A checkpoint of ours without its marker is half there; a folder of a person's own needs none."""
    path = root / "checkpoints" / "tr-0123456789ab" / "attempt-1" / "checkpoint-3"
    path.mkdir(parents=True)
    (path / "model.pt").write_text("half")
    assert "never committed" in refused(here, places | {"checkpoint_path": f"file://{path}/"})["checkpoint_path"]
    path.with_name("checkpoint-3.committed").write_text("marker")
    check(here, places | {"checkpoint_path": f"file://{path}/"}, TWO_CORES)
    mine = path.rename(root / "checkpoints" / "mine")
    check(here, places | {"checkpoint_path": f"file://{mine}"}, TWO_CORES)


@pytest.mark.parametrize(
    ("below", "newest"), [("", "attempt-2/checkpoint-1"), ("/attempt-1/", "attempt-1/checkpoint-10")]
)
def test_which_checkpoint_of_a_training_is_meant_must_be_said(
    here: Platform, places: dict[str, Any], root: Path, below: str, newest: str
):
    """Its folder holds several: the newest that counts is named. What has no marker does not count."""
    theirs = root / "checkpoints" / "tr-0123456789ab"
    for path in (
        "attempt-1/checkpoint-9",
        "attempt-1/checkpoint-10",
        "attempt-2/checkpoint-1",
        "attempt-2/checkpoint-2",
    ):
        (theirs / path).mkdir(parents=True)
        (theirs / path / "model.pt").write_text("weights")
        if path != "attempt-2/checkpoint-2":
            (theirs / f"{path}.committed").write_text("marker")
    with pytest.raises(Refused) as refusal:
        check(here, places | {"checkpoint_path": f"file://{theirs}{below}"}, TWO_CORES)
    (fault,) = refusal.value.faults
    assert "not one of them" in fault.problem
    assert fault.remedy == f"The newest is file://{theirs}/{newest}."


@pytest.mark.parametrize("below", ["attempt-1/kept/", "attempt-1/checkpoint-2/instance-0", "mine"])
def test_what_else_lies_in_a_trainings_folder_may_be_gone_on_from(
    here: Platform, places: dict[str, Any], root: Path, below: str
):
    """A checkpoint that a person sent there from this machine, say, needs no marker: it is as the person left it."""
    path = root / "checkpoints" / "tr-0123456789ab" / below
    path.mkdir(parents=True)
    (path / "model.pt").write_text("weights")
    check(here, places | {"checkpoint_path": f"file://{path}"}, TWO_CORES)


def test_a_folder_that_only_ends_like_a_trainings_is_a_persons(here: Platform, places: dict[str, Any], root: Path):
    """Nothing of ours is named so: no marker is asked for."""
    path = root / "checkpoints" / "my-tr-0123456789ab" / "attempt-1" / "checkpoint-2"
    path.mkdir(parents=True)
    (path / "model.pt").write_text("weights")
    check(here, places | {"checkpoint_path": f"file://{path}"}, TWO_CORES)
