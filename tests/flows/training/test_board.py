"""The board of trainings and the page of one: links that act, and texts that stay texts."""

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.settings import Settings
from flows.forms import Forms
from flows.training import board
from flows.training.ends.verdict import Cause, Evidence

FLOWS = ("create-training", "list-trainings", "stop-training", "delete-training", "training-logs", "tensorboard")
FLOWS += ("copy-training",)
TYPED = st.text(max_size=40) | st.text(alphabet="`|\\[]()<>*_~#\n ab", max_size=20)


def forms(*flows: str) -> Forms:
    """Forms whose deployments were read a moment ago."""
    found = Forms(Settings(home=Path("/emf")))
    found._ids, found._read_at = {flow: f"id-of-{flow}" for flow in flows}, time.monotonic()
    return found


def line(**fields: Any) -> dict[str, Any]:
    return {
        "id": "tr-0123456789ab",
        "name": "digits",
        "experiment": "group",
        "state": "RUNNING",
        "reason": "",
        "message": "",
        "created_at": "2026-11-03T12:00:00+00:00",
        "seconds_trained": 61.0,
        "pages": {},
        "description": "",
        "tags": {},
        "request": {"name": "digits"},
    } | fields


def links(markdown: str) -> dict[str, str]:
    return dict(re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", markdown))


def filled(url: str) -> dict[str, Any]:
    """Return what a link fills into the form that it opens."""
    return json.loads(parse_qs(urlsplit(url).query)["parameters"][0])


def test_what_can_be_done_depends_on_the_state():
    """A running training can be stopped and copied, one that ended copied and deleted."""
    running = links(board.table([line()], 1, forms(*FLOWS)))
    ended = links(board.table([line(state="COMPLETE")], 1, forms(*FLOWS)))
    assert {"stop", "copy"} <= running.keys()
    assert "delete" not in running
    assert {"delete", "copy"} <= ended.keys()
    assert "stop" not in ended


def test_links_open_filled_forms():
    """The copy is the form with every setting in it, whatever letters they have; the stop has the id."""
    request = {"name": "실험 (2)", "hyperparameters": {"a&b": "1|2) x"}, "tags": {"before": "1"}, "description": "old"}
    now = {"tags": {"q": "'\""}, "description": "new"}
    found = links(board.table([line(request=request, **now)], 1, forms(*FLOWS)))
    assert filled(found["copy"]) == request | now, "with description and tags as they are now"
    assert filled(found["stop"]) == {"training": "tr-0123456789ab"}
    assert found["stop"].startswith("http://127.0.0.1:4200/v2/deployments/deployment/id-of-stop-training/run?")
    assert found["Create a training"].endswith("/deployment/id-of-create-training/run")


def test_what_no_link_can_carry_is_copied_by_its_id():
    """Whole requests of a hundred thousand characters would make the board slow, and no browser opens such links."""
    request = {"name": "digits", "hyperparameters": {f"p{n}": "x" * 1000 for n in range(100)}}
    shown = board.table([line(request=request)], 1, forms(*FLOWS))
    assert filled(links(shown)["copy"]) == {"training": "tr-0123456789ab"}
    assert "id-of-copy-training" in links(shown)["copy"]
    assert len(shown) < 3000


@pytest.mark.parametrize("state", ["DELETE_IN_PROGRESS", "DELETE_FAILED"])
def test_a_deletion_can_be_repeated(state: str):
    """There is nothing to stop any more."""
    found = links(board.table([line(state=state)], 1, forms(*FLOWS)))
    assert filled(found["delete again"]) == {"training": "tr-0123456789ab"}
    assert "stop" not in found


@pytest.mark.parametrize(
    ("state", "seconds", "told"),
    [
        ("RUNNING", 3, "< 1 min"),
        ("RUNNING", 61, "1 min"),
        ("RUNNING", 3599, "59 min"),
        ("RUNNING", 12060, "3 h 21 min"),
        ("COMPLETE", 61, "1 min 1 s"),
    ],
)
def test_the_board_changes_once_a_minute(state: str, seconds: float, told: str):
    """While a training goes on its time is in whole minutes; one that ended shows its seconds."""
    shown = board.table([line(state=state, seconds_trained=seconds)], 1, forms(*FLOWS)).replace("\u00a0", " ")
    assert f"<br>{told} |" in shown


def test_the_runs_own_page_tells_how_the_script_ended():
    """Exit code or signal, memory, and the last lines as they are."""
    evidence = Evidence(Cause.EXIT, exit_code=3, peak_memory_bytes=2**21, last_lines=("Traceback", "``` | <b>"))
    shown = board.end_page(evidence, "FAIL_TRAIN", "The script ended with exit code 3.")
    sound(shown)
    for text in ("FAIL&#95;TRAIN", "| **exit code** | 3 |", "2.0 MiB", "Traceback\n``` | <b>\n````"):
        assert text in shown
    assert "9 (SIGKILL)" in board.end_page(Evidence(Cause.EXIT, signal=9), "FAIL_TRAIN", "")
    assert board.end_page(Evidence(Cause.STOPPED), "STOPPED", "") == "## STOPPED\n"


def test_without_prefect_the_board_has_no_links_but_all_words():
    """What is not deployed stands there as plain text."""
    shown = board.table([line()], 1, forms())
    assert links(shown) == {}
    assert all(word in shown for word in ("Create a training", "stop", "copy", "TensorBoard", "logs"))


def test_pages_that_are_open_are_linked():
    """The run, MLflow and an open TensorBoard; a closed one is opened by its form."""
    pages = {
        "run": "http://127.0.0.1:4200/run",
        "mlflow": "http://127.0.0.1:5000/m",
        "tensorboard": "http://127.0.0.1:6006/",
    }
    found = links(board.table([line(pages=pages)], 1, forms(*FLOWS)))
    assert (found["run"], found["mlflow"], found["TensorBoard"]) == tuple(pages.values())
    assert filled(links(board.table([line()], 1, forms(*FLOWS)))["TensorBoard"]) == {"training": "tr-0123456789ab"}


def test_an_empty_board_says_so():
    """No table without lines; how many there are is in the heading."""
    assert "There is no training yet" in board.table([], 0, forms())
    assert "## Trainings (1 of 5)" in board.table([line()], 5, forms())
    assert "## Trainings (1)" in board.table([line()], 1, forms())


def tables(markdown: str) -> list[list[str]]:
    """Return the tables of a page, each as its lines; lines in fences are none."""
    found, current, fence = [], [], ""
    for text in markdown.split("\n"):
        if fence:
            fence = "" if text == fence else fence
        elif text.startswith("```"):
            fence = text.removesuffix("text")
        elif text.startswith("|"):
            current.append(text)
            continue
        if current:
            found.append(current)
        current = []
    return found + ([current] if current else [])


def bars(text: str) -> int:
    """Count the bars that end a cell, as GFM and marked do."""
    return sum(len(match[1]) % 2 == 0 for match in re.finditer(r"(\\*)\|", text))


def sound(markdown: str) -> None:
    """Every line of every table has as many cells as its head, and no tag but a line break is there."""
    for head, rule, *body in tables(markdown):
        assert set(rule) <= set("|-")
        assert {bars(text) for text in body} <= {bars(head)}
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?\n\1$|`[^`\n]*`", "", markdown)
    assert not re.search(r"<(?!br>)", outside)


@given(TYPED, TYPED, TYPED)
def test_nothing_typed_breaks_the_board(name: str, message: str, experiment: str):
    """Names, messages and experiments stay inside their cells."""
    shown = board.table([line(name=name, message=message, experiment=experiment), line()], 2, forms(*FLOWS))
    sound(shown)
    assert [len(table) for table in tables(shown)] == [4]


@given(TYPED, TYPED, TYPED, TYPED, TYPED)
def test_nothing_typed_breaks_the_page(name: str, text: str, path: str, value: str, last: str):
    """Names, descriptions, tags, paths, values, messages and the script's own lines stay where they belong."""
    found = line(
        name=name,
        message=text,
        description=text,
        tags={text: value},
        evidence={"last_lines": [last, "end"]},
        request={
            "entry_point": f"{path}.py",
            "algorithm_path": path,
            "data_sets": [{"name": "d", "path": path}],
            "hyperparameters": {"lr": value},
            "instance_count": 1,
            "maximum_time": "1h",
        },
        image="pytorch",
        instance_type="cpu.small",
        state="COMPLETE",
        model=path,
        events=[{"time": "2026-11-03T12:00:00+00:00", "state": "", "reason": "", "message": text}],
        attempts=[
            {
                "id": "tr-1-a1",
                "number": 1,
                "phase": "ENDED",
                "resumed_from": path,
                "seconds_lost": 1.0,
                "running_at": "",
                "ended_at": "",
                "message": text,
                "run_page": "",
                "checkpoints": [{"path": path, "files": 1, "bytes": 2, "taken_at": ""}],
            }
        ],
    )
    shown = board.page(found)
    sound(shown)
    assert [len(table) - 2 for table in tables(shown)][1:] == [1, 1, 1, 1]


def test_a_page_leaves_out_what_there_is_not():
    """A training without tags, description, data or pages has no empty lines for them."""
    found = line(
        description="",
        tags={},
        evidence={},
        request={"entry_point": "t.py", "algorithm_path": "file:///c", "data_sets": [], "hyperparameters": {}}
        | {"instance_count": 2, "maximum_time": "90m"},
        image="pytorch",
        instance_type="cpu.small",
        model="",
        events=[],
        attempts=[],
    )
    shown = board.page(found)
    assert "2 × cpu.small" in shown
    assert "1 min 1 s of 90m" in shown
    for word in ("description", "tags", "data sets", "pages", "model", "Checkpoints", "Attempts", "Its last lines"):
        assert word not in shown


@pytest.mark.parametrize("text", ["a\nb", "```", "`" * 10, "</text>"])
def test_a_log_stays_in_its_block(text: str):
    """Whatever the script printed, the page goes on behind it."""
    shown = board.log_page("digits", text)
    fence = shown.split("\n")[2].removesuffix("text")
    assert shown.count(f"\n{fence}\n") == 1
    assert shown.endswith("`emf training logs --follow digits`\n")
