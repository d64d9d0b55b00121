"""All of a training in the terminal."""

from typing import Any

from flows.cli.output import AsJson, Cell, coloured, print_json, print_table
from flows.markdown import duration, moment
from flows.training.verdict import named_signal


def print_page(found: dict[str, Any], as_json: AsJson) -> None:
    """Print a training as JSON, or for a person: what was asked for, what became of it, what happened."""
    if as_json:
        return print_json(found)
    facts = [*_state(found), *_request(found), *_results(found)]
    print_table(("", ""), [(name, value) for name, value in facts if value], found["name"])
    if found["attempts"]:
        head = ("attempt", "phase", "machine", "running since (UTC)", "ended", "what")
        print_table(head, [_attempt(attempt) for attempt in found["attempts"]])
    events = [(moment(e["time"]), coloured(e["state"]) if e["state"] else "", e["message"]) for e in found["events"]]
    return print_table(("when (UTC)", "", "what happened"), events)


def _state(found: dict[str, Any]) -> list[tuple[str, Cell]]:
    evidence = found["evidence"]
    return [
        ("state", coloured(found["state"]) + (f" ({found['reason']})" if found["reason"] else "")),
        ("what", found["message"]),
        ("ended by", ending(evidence)),
        ("id", found["id"]),
        ("experiment", found["experiment"]),
        ("description", found["description"]),
        ("tags", _pairs(found["tags"])),
        ("trained", f"{duration(found['seconds_trained'])} of {found['request']['maximum_time']}"),
        ("last lines", "\n".join(evidence.get("last_lines", [])) if "FAIL" in found["state"] else ""),
    ]


def _request(found: dict[str, Any]) -> list[tuple[str, Cell]]:
    request = found["request"]
    return [
        ("script", f"{request['entry_point']} in {request['algorithm_path']}"),
        ("hyperparameters", _pairs(request["hyperparameters"])),
        ("data sets", "\n".join(f"{data['name']}: {data['path']}" for data in request["data_sets"])),
        ("image", found["image"]),
        ("instances", f"{request['instance_count']} × {found['instance_type']}"),
        ("output path", request["output_path"]),
        ("checkpoint path", request["checkpoint_path"]),
    ]


def _results(found: dict[str, Any]) -> list[tuple[str, Cell]]:
    return [
        ("model", found["model"]),
        ("checkpoints", "\n".join(found["checkpoints"])),
        ("log", found["log_file"]),
        *found["pages"].items(),
    ]


def _attempt(attempt: dict[str, Any]) -> tuple[str, ...]:
    what = " · ".join(text for text in (attempt["reason"], attempt["message"], ending(attempt["evidence"])) if text)
    times = (moment(attempt["running_at"]), moment(attempt["ended_at"]))
    return (str(attempt["number"]), attempt["phase"], attempt["machine"], *times, what)


def ending(evidence: dict[str, Any]) -> str:
    """Return how a script ended, as the evidence has it: its exit code, or the signal that killed it."""
    if number := evidence.get("signal"):
        return f"signal {named_signal(number)}"
    return f"exit code {evidence['exit_code']}" if "exit_code" in evidence else ""


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
