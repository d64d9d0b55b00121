"""What may be asked of a training."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.catalogue.catalogue import GIB, Catalogue, Machine
from flows.faults import Refused
from flows.training.spec import TrainingSpec, catalogue_faults, digest, parse, request_faults, warnings

GOOD: dict[str, object] = {
    "name": "digits",
    "experiment": "실험",
    "algorithm_path": "obs://127.0.0.1:8480/code/digits",
    "entry_point": "train.py",
    "image": "pytorch-2.13-cpu-py311",
    "instance_type": "cpu.small",
    "output_path": "obs://127.0.0.1:8480/output",
}
DATA = "obs://127.0.0.1:8480/data/digits"
TWO_CORES = Machine(vcpus=2, memory_bytes=4 * GIB)


def refused(**fields: object) -> list[str]:
    return [str(fault) for fault in request_faults(GOOD | fields)]


def test_what_may_be_left_out_has_the_guides_defaults():
    """720 hours, one instance, logs managed, no hyperparameters, data sets, checkpoint or tags, no torchrun."""
    spec = parse(GOOD)
    assert (spec.maximum_time, spec.maximum_seconds, spec.instance_count) == ("720h", 2_592_000, 1)
    assert spec.log_management
    assert not (spec.hyperparameters or spec.data_sets or spec.checkpoint_path or spec.tags or spec.use_torchrun)


@pytest.mark.parametrize(
    "fields",
    [
        {"hyperparameters": {f"k{n}": "v" * 1000 for n in range(100)}},
        {"hyperparameters": {"k" * 255: ""}},
        {"hyperparameters": {"learning-rate": "1", "b.c": "-5", "_x": "한글", "9": "a\nb", "S": "1"}},
        {"data_sets": [{"name": f"set-{n}", "path": DATA} for n in range(10)]},
        {"data_sets": [{"name": "d" * 36, "path": "nas://nas-1:/data"}]},
        {"entry_point": "src/한글/train.py"},
        {"instance_count": 10, "data_storage_gb": 10_240},
        {"instance_count": "3"},
        {"checkpoint_path": "file:///data/checkpoints"},
        {"use_torchrun": True, "processes_per_node": 64},
        {"log_management": "false"},
    ],
)
def test_what_the_limits_allow(fields: dict[str, object]):
    """Each limit's last allowed value is accepted."""
    assert refused(**fields) == []


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"instance_count": 11}, "instance_count (11): is too large. Give at most 10."),
        ({"instance_count": 0}, "instance_count (0): is too small. Give at least 1."),
        ({"instance_count": True}, "instance_count (True): is not a whole number. Give a whole number."),
        ({"instance_count": 1.5}, "instance_count (1.5): is not a whole number. Give a whole number."),
        ({"data_storage_gb": 10_241}, "data_storage_gb (10241): is too large. Give at most 10240."),
        ({"log_management": "maybe"}, "log_management ('maybe'): is neither yes nor no. Give true or false."),
        ({"image": ""}, "image (''): is too short. Give at least 1 characters."),
        ({"maximum_tim": "1h"}, "maximum_tim ('1h'): there is no such field. Did you mean `maximum_time`?"),
        ({"hyperparameters": ["a"]}, "hyperparameters (['a']): is not a set of names and values."),
        ({"hyperparameters": {str(n): "" for n in range(101)}}, "hyperparameters: has 101 entries. Give at most 100."),
        ({"hyperparameters": {"": ""}}, "hyperparameters[''] (''): this name is empty."),
        ({"hyperparameters": {"k" * 256: ""}}, "this name has 256 characters."),
        ({"hyperparameters": {"--lr": "1"}}, "this name starts with a dash. Give it without dashes: 'lr'."),
        ({"hyperparameters": {"lr=1": "1"}}, "this name holds '='."),
        ({"hyperparameters": {"학습률": "1"}}, "this name holds '학'. Give 1 to 255 of A-Z a-z 0-9 _ - ."),
        ({"hyperparameters": {".a": "1"}}, "this name starts with '.'."),
        ({"hyperparameters": {"a": "v" * 1001}}, "this hyperparameter's value has 1001 characters."),
        ({"hyperparameters": {"a": "\x00"}}, r"holds the control character '\x00'."),
        ({"hyperparameters": {"a": None}}, "hyperparameters['a'] (None): is not text."),
        ({"hyperparameters": {"a": [1]}}, "hyperparameters['a'] ([1]): is not text."),
        ({"hyperparameters": {"lr": 1, "LR": 2}}, "(['lr', 'LR']): would all be EM_HP_LR."),
        ({"hyperparameters": {"a-b": 1, "a_b": 2, "A.B": 3}}, "(['a-b', 'a_b', 'A.B']): would all be EM_HP_A_B."),
        ({"hyperparameters": {f"k{n}": "한" * 999 for n in range(50)}}, "bytes together. Give at most 131,000;"),
        ({"data_sets": [{"name": f"d{n}", "path": DATA} for n in range(11)]}, "data_sets: has 11 entries."),
        ({"data_sets": [{"name": "d" * 37, "path": DATA}]}, "data_sets[0].name ('ddd"),
        ({"data_sets": [{"name": "../x", "path": DATA}]}, "data_sets[0].name ('../x'): this name holds '/'."),
        ({"data_sets": [{"name": "a", "path": "s3://x"}]}, "data_sets[0].path ('s3://x'): does not start with obs://"),
        ({"data_sets": [{"name": "a", "path": DATA}, {"name": "A", "path": DATA}]}, "would all be EM_DATASET_A."),
        ({"data_sets": [{"name": "a"}]}, "data_sets[0].path: is missing."),
        ({"data_sets": [{"name": "a", "path": DATA, "size": 1}]}, "data_sets[0]['size'] (1): there is no such field."),
        ({"data_sets": DATA}, "is not a list."),
        ({"entry_point": "/train.py"}, "is not relative to the algorithm path."),
        ({"entry_point": "../train.py"}, "has a part that is empty or starts with a dot."),
        ({"entry_point": "a//train.py"}, "has a part that is empty or starts with a dot."),
        ({"entry_point": "a\\train.py"}, "holds a backslash."),
        ({"entry_point": "-m.py"}, "starts with a dash."),
        ({"entry_point": "train.sh"}, "is no Python file."),
        ({"output_path": ""}, "output_path (''): is empty."),
        ({"checkpoint_path": "nas://x"}, "checkpoint_path ('nas://x'): has no ':/' after the NAS."),
        ({"processes_per_node": 2}, "processes_per_node (2): needs torchrun, which is off."),
        ({"tags": {str(n): "" for n in range(11)}}, "tags: has 11 entries. Give at most 10."),
    ],
)
def test_what_is_refused_and_with_which_words(fields: dict[str, object], line: str):
    """One thing wrong makes one fault, which names the field, the value and what would be right."""
    faults = refused(**fields)
    assert len(faults) == 1
    assert line in faults[0]


def test_a_password_in_a_path_is_not_repeated():
    """What stands before an @ may be a key: the fault names the field alone."""
    (fault,) = refused(output_path="obs://user:hunter2@host/container")
    assert "output_path" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m", 60), ("90m", 5400), ("1h30m", 5400), ("720h", 2_592_000), ("43200m", 2_592_000), ("2H", 7200)],
)
def test_maximum_time_in_hours_and_minutes(text: str, seconds: int):
    """Hours, minutes, or both."""
    assert parse(GOOD | {"maximum_time": text}).maximum_seconds == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0m", "0h", "721h", "720h1m", "1.5h", "30s", "1h 30m", "h", "-1h", "720", 720, None, "९h", "9" * 5000 + "h"],
)
def test_maximum_time_otherwise(text: object):
    """Anything else, and anything outside 1 minute to 720 hours, is one fault."""
    (fault,) = request_faults(GOOD | {"maximum_time": text})
    assert fault.field == "maximum_time"


def test_every_fault_of_a_request_in_one_answer():
    """Faults of fields, of whole collections and over several fields come together, in the order of the fields."""
    with pytest.raises(Refused) as caught:
        parse(
            {
                "description": "x" * 256,
                "algorithm_path": "code",
                "entry_point": "train",
                "hyperparameters": {"a": 1, "A": 2, "b c": 3},
                "image": 3,
                "instance_type": "cpu.small",
                "instance_count": 0,
                "data_sets": [{"name": "x", "path": "y"}],
                "checkpoint_path": "z",
                "maximum_time": "soon",
                "processes_per_node": "4",
                "colour": "red",
            }
        )
    assert [fault.field for fault in caught.value.faults] == [
        "name",
        "description",
        "experiment",
        "algorithm_path",
        "entry_point",
        "hyperparameters['b c']",
        "hyperparameters",
        "image",
        "instance_count",
        "data_sets[0].path",
        "output_path",
        "checkpoint_path",
        "maximum_time",
        "processes_per_node",
        "colour",
    ]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*TrainingSpec.model_fields, "x"]), ANYTHING), st.booleans())
def test_no_request_makes_a_traceback(fields: dict[str, object], whole: bool):
    """Whatever is sent, it is a training that is stable through JSON, or a refusal with at least one fault."""
    raw = GOOD | fields if whole else fields
    try:
        spec = parse(raw)
    except Refused as refusal:
        assert refusal.faults
        assert str(refusal)
        return
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec
    assert digest(TrainingSpec.model_validate_json(spec.model_dump_json())) == digest(spec)


def test_the_same_request_has_the_same_digest():
    """The order of names and how numbers are given make no difference; anything else does."""
    first = parse(GOOD | {"hyperparameters": {"a": 1, "b": "2"}, "instance_count": "2"})
    second = parse(dict(reversed(GOOD.items())) | {"hyperparameters": {"b": 2, "a": "1"}, "instance_count": 2})
    assert digest(first) == digest(second)
    assert digest(parse(GOOD | {"hyperparameters": {"a": "1"}, "instance_count": 2})) != digest(first)
    assert len(digest(first)) == 64


def test_several_instances_are_told_whose_files_are_kept():
    """A training of one has no warning."""
    assert warnings(parse(GOOD)) == []
    (told,) = warnings(parse(GOOD | {"instance_count": 4}))
    assert "instance 0 alone" in told
    assert "on the others is not kept" in told


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, []),
        ({"instance_count": 4}, []),
        ({"image": "pytorch-2.13-cpu-py31"}, ["Did you mean `pytorch-2.13-cpu-py311`?"]),
        ({"instance_type": "zzz"}, ["Give one of: cpu.small, cpu.medium, cpu.large"]),
        ({"image": "zzz", "instance_type": "cpu.smal"}, ["Give one of: pytorch", "Did you mean `cpu.small`?"]),
        ({"instance_type": "gpu.h100.1"}, ["image, instance_type ([", "can never run here: gpu.h100.1 needs 64 GB"]),
        ({"instance_type": "cpu.large", "instance_count": 2}, ["can never run here: 2 × cpu.large needs 7 GB"]),
        ({"use_torchrun": True, "processes_per_node": 2}, ["cpu.small has 1 vCPU, one a process. Give at most 1"]),
        ({"use_torchrun": True, "processes_per_node": 2, "instance_type": "cpu.medium"}, []),
        ({"image": "tensorflow-2.21-cpu-py311", "use_torchrun": True}, ["torchrun is PyTorch's; the image tensorflow"]),
        ({"image": None, "instance_type": 3, "use_torchrun": "maybe", "processes_per_node": []}, []),
    ],
)
def test_what_the_catalogue_and_the_machine_say(fields: dict[str, object], lines: list[str], tmp_path: Path):
    """Unknown names, different core kinds, torchrun without PyTorch, too many processes, what could never run here."""
    faults = [str(fault) for fault in catalogue_faults(GOOD | fields, Catalogue.load(tmp_path), TWO_CORES)]
    assert len(faults) == len(lines)
    assert all(line in fault for line, fault in zip(lines, faults, strict=True)), faults


def test_both_names_of_different_core_kinds_are_refused_together(tmp_path: Path):
    """A GPU image on a CPU instance type: one fault names both and what would go with either; a spec does as well."""
    spec = parse(GOOD | {"image": "pytorch-2.13-gpu-py311"})
    (fault,) = catalogue_faults(spec, Catalogue.load(tmp_path), None)
    for name in ("pytorch-2.13-gpu-py311", "cpu.small", "gpu.h100.1", "pytorch-2.13-cpu-py311"):
        assert name in str(fault)


def test_faults_from_elsewhere_are_told_in_the_order_of_the_fields(tmp_path: Path):
    """What the catalogue found stands between what the fields found."""
    raw = GOOD | {"name": "", "image": "zzz", "output_path": ""}
    faults = request_faults(raw, catalogue_faults(raw, Catalogue.load(tmp_path), None))
    assert [fault.field for fault in faults] == ["name", "image", "output_path"]
