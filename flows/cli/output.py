"""What `emf` prints: tables for people, JSON for programs, faults on standard error."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from flows.faults import Fault, Refused

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
STYLES = {"COMPLETE": "green", "ACTIVE": "green", "RUNNING": "cyan", "STOPPED": "yellow"}

console = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_table(head: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> None:
    """Print lines for a person."""
    table = Table(*head, title=title or None, box=None, title_justify="left", header_style="bold", pad_edge=False)
    for line in lines:
        table.add_row(*line)
    console.print(table)


def coloured(state: str) -> str:
    """Return a state in its colour."""
    style = STYLES.get(state) or ("red" if "FAIL" in state else "blue")
    return f"[{style}]{state}[/{style}]"


def fail(message: str, code: int) -> NoReturn:
    """Print what went wrong and end."""
    errors.print(message, style="red", markup=False, highlight=False)
    sys.exit(code)


def pairs(texts: Sequence[str], field: str) -> dict[str, str]:
    """Read `key=value` words.

    Raises:
        Refused: a word has no `=`, or a key stands there twice.
    """
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            faults.append(Fault(field, text, "has no =", "Write key=value."))
        elif key in found:
            faults.append(Fault(field, text, f"{key!r} is given twice", "Give each key once."))
        found[key] = value
    if faults:
        raise Refused(faults)
    return found
