"""All of a training in the terminal."""

from collections.abc import Sequence
from typing import Any

from flows.cli.output import AsJson, Cell, coloured, print_facts, print_json, print_table
from flows.markdown import duration, moment
from flows.training.ends.verdict import named_signal
from flows.training.view import went_on

BRIEF = 60  # characters of what stands whole above


def print_page(found: dict[str, Any], as_json: AsJson) -> None:
    """Print a training as JSON, or for a person: what was asked for, what became of it, what happened."""
    if as_json:
        return print_json(found)
    print_facts([*_state(found), *_request(found), *_results(found)], found["name"])
    told = [found["message"]]
    if found["attempts"]:
        head = ("attempt", "phase", "machine", "went on", "running since (UTC)", "ended", "what")
        lines: list[tuple[str, ...]] = []
        for attempt in found["attempts"]:
            lines.append(_attempt(attempt, told))
            told.append(attempt["message"])
        print_table(head, lines)
    events = [
        (moment(e["time"]), coloured(e["state"]) if e["state"] else "", brief(e["message"], told))
        for e in found["events"]
    ]
    return print_table(("when (UTC)", "", "what happened"), events)


def brief(text: str, told: Sequence[str]) -> str:
    """Return the beginning of a text that stands whole in what was told above, or holds that; else all of it."""
    again = any(text in above or above in text for above in told if len(above) > BRIEF)
    return f"{text[:BRIEF]}…" if again and len(text) > BRIEF else text


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
        ("instances", f"{request['instance_count']} × {found['instance_type']}{_torchrun(request)}"),
        ("output path", request["output_path"]),
        ("checkpoint path", request["checkpoint_path"]),
        ("checkpoints kept", str(request.get("checkpoints_kept", "")) if request["checkpoint_path"] else ""),
    ]


def _torchrun(request: dict[str, Any]) -> str:
    processes = request.get("processes_per_node", 1)
    return (
        f", torchrun with {processes} process{'es' if processes > 1 else ''} on each"
        if request.get("use_torchrun")
        else ""
    )


def _results(found: dict[str, Any]) -> list[tuple[str, Cell]]:
    return [
        ("model", found["model"]),
        ("checkpoints", "\n".join(found["checkpoints"])),
        ("log", found["log_file"]),
        *found["pages"].items(),
    ]


def _attempt(attempt: dict[str, Any], told: Sequence[str]) -> tuple[str, ...]:
    texts = (attempt["reason"], brief(attempt["message"], told), ending(attempt["evidence"]))
    what = " · ".join(text for text in texts if text)
    times = (moment(attempt["running_at"]), moment(attempt["ended_at"]))
    return (str(attempt["number"]), attempt["phase"], attempt["machine"], went_on(attempt), *times, what)


def ending(evidence: dict[str, Any]) -> str:
    """Return how a script ended, as the evidence has it: its exit code, or the signal that killed it."""
    if number := evidence.get("signal"):
        return f"signal {named_signal(number)}"
    return f"exit code {evidence['exit_code']}" if "exit_code" in evidence else ""


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
