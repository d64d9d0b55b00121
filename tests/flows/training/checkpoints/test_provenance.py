"""What is told of a checkpoint that was made from something else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.storage.store import Entry
from flows.training.checkpoints.provenance import (
    MOST_FILES,
    DataSetUsed,
    Provenance,
    code_digest,
    differences,
    first_files,
)

MOMENT = datetime(2026, 11, 30, tzinfo=UTC)


def made(code: dict[str, str] | None = None, **changes: Any) -> Provenance:
    code = {"train.py": "1", "model.py": "1"} if code is None else code
    data = DataSetUsed(path="obs://h/c/d", files=2, bytes=2048, digest="x")
    given = {"image": "one", "instances": 1, "hyperparameters": {"lr": "0.1"}, "data_sets": {"digits": data}} | changes
    return Provenance(code=first_files(code), code_digest=code_digest(code), **given)


def other(**changes: Any) -> dict[str, DataSetUsed]:
    return {"digits": DataSetUsed(**({"path": "obs://h/c/d", "files": 2, "bytes": 2048, "digest": "x"} | changes))}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (made(), []),
        (made(image="two"), ["the image was one, now two"]),
        (made(instances=4), ["1 instance(s) then, 4 now"]),
        (made(hyperparameters={"lr": "0.2"}), ["the hyperparameter lr was 0.1, now 0.2"]),
        (
            made(hyperparameters={"epochs": "3"}),
            ["the hyperparameter epochs (3) is new", "the hyperparameter lr (0.1) is gone"],
        ),
        (made({"train.py": "2", "model.py": "1"}), ["of the code train.py is changed"]),
        (made({"train.py": "1", "new.py": "1"}), ["of the code new.py is new, model.py is gone"]),
        (made({}), ["of the code model.py, train.py are gone"]),
        (made(data_sets={}), ["the data set digits is gone"]),
        (made(data_sets=other(path="nas://n:/d")), ["the data set digits came from obs://h/c/d, now from nas://n:/d"]),
        (
            made(data_sets=other(files=3, digest="y")),
            ["the data set digits had 2 file(s) of 2.0 KiB, now 3 file(s) of 2.0 KiB"],
        ),
        (
            made(data_sets=other(digest="y")),
            ["the data set digits had 2 file(s) of 2.0 KiB, now 2 file(s) of 2.0 KiB with other content"],
        ),
        (made(data_sets=other(files=0, bytes=0, digest="")), []),  # mounted now: nobody listed it
    ],
)
def test_each_difference_is_said(now: Provenance, told: list[str]):
    """What it was and what it is; nothing where nothing differs."""
    assert differences(made(), now) == told


def test_only_a_few_files_are_named():
    """Of many the number is told."""
    many = {f"{number:02}.py": "2" for number in range(9)}
    told = differences(made({name: "1" for name in many}), made(many))
    assert told == ["of the code 00.py, 01.py, 02.py, 03.py, 04.py and 4 more are changed"]


def test_a_change_beyond_the_files_that_are_listed_is_seen():
    """A folder with very many files has not all of them in every manifest; that one differs is known all the same."""
    many = {f"{number:06}": "1" for number in range(MOST_FILES + 5)}
    changed = many | {f"{MOST_FILES + 1:06}": "2"}
    assert differences(made(many), made(changed)) == ["of the code other files differ"]
    assert len(made(many).code) == MOST_FILES


def entry(key: str, size: int = 1, etag: str | None = None, modified: datetime = MOMENT) -> Entry:
    return Entry(key, size, etag, modified)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("b")],
        [entry("a", 2)],
        [entry("a", etag="e")],
        [entry("a", modified=MOMENT.replace(hour=1))],
        [entry("a"), entry("b")],
    ],
)
def test_data_that_changed_have_another_digest(entries: list[Entry]):
    """Another name, size, tag or time, a file more; the same listing has the same."""
    assert DataSetUsed.of("p", [entry("a")]) == DataSetUsed.of("p", [entry("a")])
    assert DataSetUsed.of("p", entries).digest != DataSetUsed.of("p", [entry("a")]).digest


TEXTS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_nothing_that_differs_is_passed_over(code: dict, then: dict, values: dict, values_then: dict):
    """There is something to say exactly where something differs."""
    before, now = made(then, hyperparameters=values_then), made(code, hyperparameters=values)
    assert bool(differences(before, now)) == ((code, values) != (then, values_then))
