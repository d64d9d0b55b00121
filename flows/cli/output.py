"""What `emf` prints: tables for people, JSON for programs, faults on standard error."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.faults import Fault, Refused

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Its name or id.")]
Repeated = Annotated[list[str], typer.Option(help="key=value; may be repeated.")]
Cell = str | Text
STYLES = {"COMPLETE": "green", "ACTIVE": "green", "RUNNING": "cyan", "STOPPED": "yellow"}

console = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_table(head: Sequence[str], lines: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Print lines for a person; brackets in them are brackets, not rich's markup."""
    table = Table(*head, title=title or None, box=None, title_justify="left", header_style="bold", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # a path that is cut cannot be copied
    for line in lines:
        table.add_row(*map(_plain, line))
    console.print(table)


def print_list(head: Sequence[str], lines: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Print one line each; what does not fit is cut in the last column, and in no other."""
    cells = [[_plain(cell) for cell in line[:-1]] for line in lines]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    left = max(20, console.width - sum(widths) - 2 * len(widths)) if console.is_terminal else 1000
    table = Table(title=title or None, box=None, title_justify="left", header_style="bold", pad_edge=False)
    for name in head:
        table.add_column(name, no_wrap=True)
    for row, line in zip(cells, lines, strict=True):
        last = Text(" ").join(_plain(line[-1]).split("\n"))
        last.truncate(left, overflow="ellipsis")
        table.add_row(*row, last)
    (console if console.is_terminal else Console(width=2000)).print(table)


def _plain(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def coloured(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, STYLES.get(state) or ("red" if "FAIL" in state else "blue"))


def fail(message: str, code: int) -> NoReturn:
    """Print what went wrong and end."""
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
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
