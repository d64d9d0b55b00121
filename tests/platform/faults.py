"""What can be wrong with a request: each kind of fault, what it changes, and what the answer must name."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]
GPU_IMAGE = "pytorch-2.13-gpu-py311"


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        changes: the fields that it changes; None takes a field away. Two kinds that change the same go into no request
            together, nor two of which one `hides` a field of the other: what cannot be reached cannot be looked into.
        says: what the answer's line for it must hold.
        hides: fields about which nothing can be said any more.
        in_schema: whether Prefect's own check of the form already refuses it.
    """

    changes: Mapping[str, Any]
    says: Sequence[str]
    hides: frozenset[str] = frozenset()
    in_schema: bool = False


def kinds(place: Callable[[str], str]) -> dict[str, Kind]:
    """Return every kind by its name; `place` makes whole paths of short ones."""
    data = place("data/digits")
    source = frozenset({"entry_point"})
    return {
        "an empty name": Kind({"name": ""}, ("name ('')", "is empty"), in_schema=True),
        "a name with a slash": Kind({"name": "a/b"}, ("name ('a/b')", "holds '/'")),
        "a long experiment": Kind({"experiment": "e" * 51}, ("experiment (", "51 characters"), in_schema=True),
        "a long description": Kind({"description": "d" * 256}, ("description (", "256 characters"), in_schema=True),
        "no entry point": Kind({"entry_point": None}, ("entry_point", "is missing"), in_schema=True),
        "a source that is not there": Kind(
            {"algorithm_path": place("code/nothing")}, ("algorithm_path", "code/nothing"), source
        ),
        "a path of no kind": Kind({"algorithm_path": "s3://code/x"}, ("algorithm_path", "obs://"), source),
        "an entry point that is not there": Kind(
            {"entry_point": "trian.py"}, ("entry_point ('trian.py')", "is not at", "hello.py")
        ),
        "an entry point that is no Python": Kind({"entry_point": "broken.py"}, ("entry_point ('broken.py')", "line 1")),
        "an unknown image": Kind({"image": "pytorch-1"}, ("image ('pytorch-1')", "no such image"), in_schema=True),
        "an unknown instance type": Kind(
            {"instance_type": "cpu.smal"}, ("instance_type ('cpu.smal')", "Did you mean `cpu.small`?"), in_schema=True
        ),
        "an image of another core kind": Kind(
            {"image": GPU_IMAGE, "instance_type": "cpu.small"}, ("image, instance_type", "is for GPU")
        ),
        "a machine that cannot hold it": Kind(
            {"image": GPU_IMAGE, "instance_type": "gpu.h100.2"}, ("instance_type ('gpu.h100.2')", "can never run here")
        ),
        "an output that cannot be written": Kind(
            {"output_path": place("no-such-container/out")}, ("output_path", "no-such-container")
        ),
        "an object store without keys": Kind(
            {"output_path": "obs://elsewhere.example/container/out"}, ("output_path", "no keys for the object store")
        ),
        "a NAS without mount": Kind({"checkpoint_path": "nas://nas-9:/c"}, ("checkpoint_path", "no mount for the NAS")),
        "a path that leaves its mount": Kind({"checkpoint_path": "nas://nas-1:/a/../b"}, ("checkpoint_path", "'..'")),
        "a hyperparameter with dashes": Kind({"hyperparameters": {"--lr": "1"}}, ("--lr", "starts with a dash")),
        "hyperparameters that are one": Kind(
            {"hyperparameters": {"a-b": "1", "a_b": "2"}}, ("hyperparameters", "EM_HP_A_B")
        ),
        "a long hyperparameter": Kind({"hyperparameters": {"a": "v" * 1001}}, ("hyperparameters", "1001 characters")),
        "data that are not there": Kind(
            {"data_sets": [{"name": "a", "path": place("data/nothing")}]}, ("data_sets[0].path", "data/nothing")
        ),
        "too many data sets": Kind(
            {"data_sets": [{"name": f"a{n}", "path": data} for n in range(11)]},
            ("data_sets", "has 11 entries"),
            in_schema=True,
        ),
        "a data set with a long name": Kind(
            {"data_sets": [{"name": "n" * 37, "path": data}]}, ("data_sets[0].name", "37 characters"), in_schema=True
        ),
        "too little data storage": Kind({"data_storage_gb": 0}, ("data_storage_gb (0)", "too small"), in_schema=True),
        "too many instances": Kind({"instance_count": 11}, ("instance_count (11)", "too large"), in_schema=True),
        "a time that is none": Kind({"maximum_time": "soon"}, ("maximum_time ('soon')", "is no time"), in_schema=True),
        "a time that is too long": Kind({"maximum_time": "721h"}, ("maximum_time ('721h')", "is too long")),
        "too many tags": Kind({"tags": {f"t{n}": "" for n in range(11)}}, ("tags", "has 11 entries")),
        "a long tag": Kind({"tags": {"t": "v" * 256}}, ("tags['t']", "256 characters")),
        "processes without torchrun": Kind(
            {"processes_per_node": 2, "use_torchrun": False, "instance_type": "cpu.medium"},
            ("processes_per_node (2)", "needs torchrun"),
        ),
        "neither yes nor no": Kind(
            {"log_management": "maybe"}, ("log_management ('maybe')", "neither yes nor no"), in_schema=True
        ),
        "an unknown name": Kind(
            {"instance_typ": "x"}, ("instance_typ", "Did you mean `instance_type`?"), in_schema=True
        ),
    }


def spoilt(good: Request, chosen: Sequence[Kind]) -> Request:
    """Return a good request with these faults in it."""
    bad = dict(good)
    for kind in chosen:
        for field, value in kind.changes.items():
            if value is None:
                bad.pop(field, None)
            else:
                bad[field] = value
    return bad


def together(known: Sequence[Kind], most: int, source: random.Random) -> list[Kind]:
    """Choose some kinds that can be told apart in one request."""
    chosen: list[Kind] = []
    taken: set[str] = set()
    for kind in source.sample(known, len(known)):
        touched = kind.hides | kind.changes.keys()
        if not touched & taken:
            chosen.append(kind)
            taken |= touched
        if len(chosen) == most:
            break
    return chosen


def unnamed(answer: str, chosen: Sequence[Kind]) -> list[Sequence[str]]:
    """Return what of the chosen faults has no line of its own in an answer."""
    lines = answer.splitlines()
    return [kind.says for kind in chosen if not any(all(word in line for word in kind.says) for line in lines)]
