"""Trainings on Prefect's pages: the board, kept current by the controller, and the page of one training."""

from collections.abc import Sequence
from typing import Any

from blocks.records.words import TERMINAL, TrainingState
from flows.forms import Forms
from flows.markdown import cell, code, duration, fenced, minutes, moment, rows, size, whole
from flows.training.ends.verdict import Evidence, named_signal
from flows.training.view import went_on

KEY = "trainings"
DESCRIPTION = "The trainings, newest first"
LONGEST_LINK = 6000  # characters; a board of a hundred whole requests is slow, and browsers have a limit
DELETING = (TrainingState.DELETE_IN_PROGRESS, TrainingState.DELETE_FAILED)
TOLD = 160  # characters; all of it is on the training's own page
Row = dict[str, Any]


def table(lines: Sequence[Row], total: int, forms: Forms) -> str:
    """Return the list page: a line a training, with links that open its pages and its filled-in forms."""
    head = ("training", "experiment", "state", "created (UTC), trained", "open", "do")
    body = [
        (
            f"**{cell(row['name'])}**<br>`{row['id']}`",
            cell(row["experiment"]),
            _state(row),
            f"{whole(moment(row['created_at']))}<br>{whole(_trained(row))}",
            _pages(row, forms),
            _actions(row, forms),
        )
        for row in lines
    ]
    new = forms.link("Create a training", "create-training")
    shown = f"{len(lines)} of {total}" if total > len(lines) else f"{total}"
    listed = rows(head, body) if body else "*There is no training yet.*"
    return f"## Trainings ({shown})\n\n{new} · {forms.link('list with a filter', 'list-trainings')}\n\n{listed}\n"


def _trained(row: Row) -> str:
    return duration(row["seconds_trained"]) if row["state"] in TERMINAL else minutes(row["seconds_trained"])


def _state(row: Row) -> str:
    reason = f" · {row['reason']}" if row["reason"] else ""
    told = row["message"] if len(row["message"]) <= TOLD else f"{row['message'][:TOLD]}…"
    return f"**{row['state']}**{reason}" + (f"<br>{cell(told)}" if told else "")


def _pages(row: Row, forms: Forms) -> str:
    links = [f"[{name}]({url})" for name, url in row["pages"].items() if name != "tensorboard"]
    live = row["pages"].get("tensorboard")
    board = f"[TensorBoard]({live})" if live else forms.link("TensorBoard", "tensorboard", {"training": row["id"]})
    logs = forms.link("logs", "training-logs", {"training": row["id"]})
    return " · ".join([*links, board, logs])


def _actions(row: Row, forms: Forms) -> str:
    this = {"training": row["id"]}
    copy = _copy(row, forms)
    if row["state"] in DELETING:
        return f"{copy} · {forms.link('delete again', 'delete-training', this)}"
    if row["state"] in TERMINAL:
        return f"{copy} · {forms.link('delete', 'delete-training', this)}"
    return f"{forms.link('stop', 'stop-training', this)} · {copy}"


def _copy(row: Row, forms: Forms) -> str:
    """Return the link to the form with every setting in it, or, where a browser would not take it, with the id."""
    now = {"description": row["description"], "tags": row["tags"]}
    filled = forms.link("copy", "create-training", row["request"] | now)
    if len(filled) <= LONGEST_LINK:
        return filled
    return forms.link("copy", "copy-training", {"training": row["id"]})


def page(found: Row) -> str:
    """Return all of one training."""
    request, evidence = found["request"], found["evidence"]
    parts = [f"## {cell(found['name'])} — {found['state']}", _facts(found)]
    if found["message"]:
        parts.append(f"> {cell(found['message'])}")
    if evidence.get("last_lines"):
        parts += ["### Its last lines", fenced("\n".join(evidence["last_lines"]))]
    if request["hyperparameters"]:
        lines = [(f"`{key}`", cell(value)) for key, value in request["hyperparameters"].items()]
        parts += ["### Hyperparameters", rows(("name", "value"), lines)]
    if found["attempts"]:
        parts += [
            "### Attempts",
            rows(("", "phase", "went on", "running since", "ended", "what", "run"), _attempts(found)),
        ]
    kept = [
        (code(c["path"]), moment(c["taken_at"]), f"{c['files']}", size(c["bytes"]))
        for a in found["attempts"]
        for c in a["checkpoints"]
    ]
    if kept:
        parts += ["### Checkpoints", rows(("where", "as of (UTC)", "files", "size"), kept)]
    events = [(moment(e["time"]), e["state"], e["reason"], cell(e["message"])) for e in found["events"]]
    parts += ["### What happened", rows(("when (UTC)", "state", "reason", ""), events)]
    return "\n\n".join(parts) + "\n"


def _facts(found: Row) -> str:
    request = found["request"]
    facts = {
        "id": f"`{found['id']}`",
        "experiment": cell(found["experiment"]),
        "description": cell(found["description"]),
        "tags": ", ".join(f"{cell(key)}={cell(value)}" for key, value in found["tags"].items()),
        "script": f"{code(request['entry_point'])} in {code(request['algorithm_path'])}",
        "image, instances": f"{found['image']}, {request['instance_count']} × {found['instance_type']}",
        "data sets": ", ".join(f"{cell(d['name'])}: {code(d['path'])}" for d in request["data_sets"]),
        "model": code(found["model"]) if found["model"] else "",
        "trained": f"{duration(found['seconds_trained'])} of {request['maximum_time']}",
        "pages": " · ".join(f"[{name}]({url})" for name, url in found["pages"].items()),
        "log": f"`emf training logs {found['id']}`",
    }
    return rows(("", ""), [(f"**{name}**", value) for name, value in facts.items() if value])


def _attempts(found: Row) -> list[tuple[str, ...]]:
    return [
        (
            str(a["number"]),
            a["phase"],
            cell(went_on(a)),
            moment(a["running_at"]),
            moment(a["ended_at"]),
            cell(a["message"]),
            f"[run]({a['run_page']})" if a["run_page"] else "",
        )
        for a in found["attempts"]
    ]


def end_page(evidence: Evidence, state: str, message: str) -> str:
    """Return the page of an attempt's own run: what became of the training, how its script ended, its last lines.

    Args:
        evidence: what is known of the attempt's end.
        state: the training's state after it.
        message: what there is to say of that.
    """
    parts = [f"## {cell(state)}", f"> {cell(message)}"] if message else [f"## {cell(state)}"]
    facts = {
        "exit code": "" if evidence.exit_code is None else str(evidence.exit_code),
        "signal": "" if evidence.signal is None else named_signal(evidence.signal),
        "most memory": size(evidence.peak_memory_bytes) if evidence.peak_memory_bytes else "",
        "error": cell(evidence.error),
    }
    known = [(f"**{name}**", value) for name, value in facts.items() if value]
    parts += [rows(("", ""), known)] if known else []
    if evidence.last_lines:
        parts += ["### Its last lines", fenced("\n".join(evidence.last_lines))]
    return "\n\n".join(parts) + "\n"


def log_page(training: str, text: str) -> str:
    """Return the last lines of a training's log."""
    return f"## Log of {cell(training)}\n\n{fenced(text)}\n\nAll of it, live: `emf training logs --follow {training}`\n"
