"""Experiments on Prefect's pages: the board, kept current by the controller, and the page of one experiment."""

from collections.abc import Sequence
from typing import Any

from flows.forms import Forms
from flows.markdown import cell, moment, rows, whole

KEY = "experiments"
DESCRIPTION = "The experiments, newest first"
Row = dict[str, Any]


def table(lines: Sequence[Row], total: int, forms: Forms) -> str:
    """Return the list page: a line an experiment, with links that open its pages and its filled-in forms."""
    head = ("name", "state", "created (UTC)", "trainings", "description", "open", "do")
    body = [
        (
            f"**{cell(row['name'])}**<br>`{row['id']}`",
            f"**{row['state']}**" + (f"<br>{cell(row['message'])}" if row["message"] else ""),
            whole(moment(row["created_at"])),
            str(row["trainings"]),
            cell(row["description"]),
            _pages(row, forms),
            _actions(row, forms),
        )
        for row in lines
    ]
    new = forms.link("Create an experiment", "create-experiment")
    shown = f"{len(lines)} of {total}" if total > len(lines) else f"{total}"
    listed = rows(head, body) if body else "*There is no experiment yet.*"
    return f"## Experiments ({shown})\n\n{new}\n\n{listed}\n"


def _pages(row: Row, forms: Forms) -> str:
    show = forms.link("details", "show-experiment", {"experiment": row["id"]})
    board = forms.link("TensorBoard", "tensorboard", {"experiment": row["id"]})
    mlflow = f"[mlflow]({row['mlflow_page']}) · " if row["mlflow_page"] else ""
    return f"{mlflow}{board} · {show}"


def _actions(row: Row, forms: Forms) -> str:
    this = {"experiment": row["id"]}
    delete = forms.link("delete", "delete-experiment", this)
    if row["state"] in ("DELETE_IN_PROGRESS", "DELETE_FAILED"):
        return forms.link("delete again", "delete-experiment", this)
    if row["state"] == "CREATE_FAILED":
        return f"{forms.link('retry', 'retry-experiment', this)} · {delete}"
    train = forms.link("train", "create-training", {"experiment": row["name"]})
    changed = this | {"description": row["description"], "tags": row["tags"]}
    return f"{train} · {forms.link('change', 'change-experiment', changed)} · {delete}"


def page(found: Row) -> str:
    """Return all of one experiment."""
    facts = {
        "id": f"`{found['id']}`",
        "description": cell(found["description"]),
        "tags": ", ".join(f"{cell(key)}={cell(value)}" for key, value in found["tags"].items()),
        "MLflow": f"[open]({found['mlflow_page']})" if found["mlflow_page"] else "",
    }
    parts = [f"## {cell(found['name'])} — {found['state']}"]
    parts.append(rows(("", ""), [(f"**{name}**", value) for name, value in facts.items() if value]))
    if found["message"]:
        parts.append(f"> {cell(found['message'])}")
    if found["trainings"]:
        lines = [(cell(t["name"]), f"`{t['id']}`", t["state"], t["reason"]) for t in found["trainings"]]
        parts += ["### Trainings", rows(("name", "id", "state", "reason"), lines)]
    events = [(moment(e["time"]), e["state"], e["reason"], cell(e["message"])) for e in found["events"]]
    parts += ["### What happened", rows(("when (UTC)", "state", "reason", ""), events)]
    return "\n\n".join(parts) + "\n"
