"""Requests that are wrong: refused through every door, with every fault named at once, and nothing made of them."""

import json
import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from blocks.platform import Platform
from blocks.records.tables import Event, Experiment, Training
from blocks.storage.location import parse
from flows.faults import Refused
from tests.platform.deadlines import within
from tests.platform.faults import Kind, Request, kinds, spoilt, together, unnamed

Known = Mapping[str, Kind]


@pytest.fixture(scope="module")
def known(places: Callable[[str], str], connections: Platform, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Every kind of fault; what some of them point at is there."""
    connections.storage.write(parse(places("code/scripts/broken.py")), b"def broken(:\n")
    large = tmp_path_factory.mktemp("large") / "sparse.bin"
    with large.open("wb") as file:
        file.truncate(3 * 2**30)
    too_large = {"data_storage_gb": 1, "data_sets": [{"name": "a", "path": f"file://{large.parent}"}]}
    more = Kind(too_large, ("data_storage_gb (1)", "the data sets need more: a 3.0 GB", "Give at least 3"))
    return kinds(places) | {"data that do not fit": more}


@pytest.fixture(scope="module")
def good(asked: Callable[..., Request], connections: Platform, places: Callable[[str], str]) -> Request:
    """A request without fault, whose output and checkpoints would go where nothing else does."""
    connections.storage.ensure_container(parse(places("refused")))
    return asked("refused", experiment="refused", output_path="refused/out", checkpoint_path="refused/kept")


@pytest.fixture
def nothing_recorded(connections: Platform, files: Callable[[str], list[str]], places: Callable[[str], str]) -> Any:
    """Look, before and after a test, at what there is: it must be the same."""

    def seen() -> set[Any]:
        with connections.records.reading() as session:
            of_events = session.execute(select(Event.kind, Event.resource_id).distinct())
            ids = [*session.scalars(select(Training.id)), *session.scalars(select(Experiment.id))]
            return {*ids, *map(tuple, of_events), *files(places("refused"))}

    before = seen()
    yield
    assert seen() == before


@pytest.mark.parametrize("seed", range(100))
def test_python_names_every_fault(seed: int, known: Known, good: Request, api: ModuleType, nothing_recorded: None):
    """As many as were put in, each with its field and its value, and no other."""
    source = random.Random(seed)
    chosen = together(list(known.values()), source.randint(1, 6), source)
    with pytest.raises(Refused) as refused:
        api.create_training(**spoilt(good, chosen))
    assert unnamed(str(refused.value), chosen) == []
    assert len(refused.value.faults) == len(chosen), str(refused.value)


def test_the_terminal_names_every_fault(
    known: Known,
    good: Request,
    emf: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    nothing_recorded: None,
):
    """Each kind once through a process of `emf`: exit code 2, each fault on a line of its own, no traceback."""
    left, told = dict(known), 0
    while left:
        chosen = together(list(left.values()), len(left), random.Random(0))
        (tmp_path / "request.yaml").write_text(json.dumps(spoilt(good, chosen)), encoding="utf-8")
        done = emf("training", "create", "--file", str(tmp_path / "request.yaml"))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "Traceback" not in done.stderr
        assert unnamed(done.stderr, chosen) == []
        left = {name: kind for name, kind in left.items() if kind not in chosen}
        told += len(chosen)
    assert told >= 30


@pytest.fixture(scope="module")
def form(prefect: httpx.Client) -> dict[str, Any]:
    """The deployment whose form people fill in."""
    return prefect.get("/deployments/name/create-training/easymaker").raise_for_status().json()


def send(prefect: httpx.Client, form: dict[str, Any], parameters: Request) -> httpx.Response:
    """Ask for a run as the form does; Prefect may be busy for a moment."""

    def ask() -> httpx.Response | None:
        answer = prefect.post(f"/deployments/{form['id']}/create_flow_run", json={"parameters": parameters})
        return answer if answer.status_code != 503 else None

    return within(60, ask, "Prefect's answer")


def test_the_form_marks_every_field_that_it_forbids(
    known: Known, good: Request, prefect: httpx.Client, form: dict[str, Any]
):
    """All at once, before anything is sent: unknown and missing names too."""
    left = {name: kind for name, kind in known.items() if kind.in_schema}
    assert len(left) >= 12
    while left:
        chosen = together(list(left.values()), len(left), random.Random(0))
        asked = {"schema": form["parameter_openapi_schema"], "values": spoilt(good, chosen)}
        found = json.dumps(prefect.post("/ui/schemas/validate", json=asked).raise_for_status().json()["errors"])
        fields = {field for kind in chosen for field in kind.changes}
        assert {field for field in fields if field not in found} == set(), found
        left = {name: kind for name, kind in left.items() if kind not in chosen}


def test_prefects_api_refuses_what_the_form_forbids(
    known: Known, good: Request, prefect: httpx.Client, form: dict[str, Any], nothing_recorded: None
):
    """409 with the field or its value, for each; there is no run."""
    for name, kind in known.items():
        if kind.in_schema:
            answer = send(prefect, form, spoilt(good, [kind]))
            assert answer.status_code == 409, (name, answer.text)
            assert any(field in answer.json()["detail"] for field in kind.changes), (name, answer.text)


def test_prefects_api_tells_all_other_faults_together(
    known: Known, good: Request, prefect: httpx.Client, form: dict[str, Any], nothing_recorded: None
):
    """The run fails readably: its state's message and its page name each fault, and its log has no traceback."""
    left = {name: kind for name, kind in known.items() if not kind.in_schema}
    asked: dict[str, list[Kind]] = {}
    while left:
        chosen = together(list(left.values()), len(left), random.Random(0))
        asked[send(prefect, form, spoilt(good, chosen)).raise_for_status().json()["id"]] = chosen
        left = {name: kind for name, kind in left.items() if kind not in chosen}
    for run_id, chosen in asked.items():
        run = within(240, lambda run_id=run_id: ended(prefect, run_id), "the end of the run")
        assert run["state_type"] == "FAILED", run
        assert unnamed(run["state"]["message"], chosen) == []
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "limit": 200}
        lines = "\n".join(line["message"] for line in prefect.post("/logs/filter", json=body).json())
        assert "Traceback" not in lines
        body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        [page] = prefect.post("/artifacts/filter", json=body).json()
        assert page["data"].count("\n|") == 2 + len(chosen)  # the head and its rule


def ended(prefect: httpx.Client, run_id: str) -> dict[str, Any] | None:
    run = prefect.get(f"/flow_runs/{run_id}").json()
    return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None
