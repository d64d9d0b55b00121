"""What `emf` prints: tables for people, JSON for programs, faults on standard error."""

import json
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Its name or id.")]
Repeated = Annotated[list[str], typer.Option(help="key=value; may be repeated.")]
Cell = str | Text
STYLES = {"COMPLETE": "green", "ACTIVE": "green", "RUNNING": "cyan", "STOPPED": "yellow"}
GAP = "  "
LEAST = 10  # terminal cells of a last column, however narrow the terminal is

console = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_table(head: Sequence[str], lines: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Print lines for a person, nothing cut and nothing wrapped; brackets in them are brackets, not rich's markup."""
    _print_all(aligned(head, lines), title)


def print_list(head: Sequence[str], lines: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Print one line each; on a terminal what does not fit is cut in the last column, and in no other."""
    flat = [(*line[:-1], Text(" ").join(_plain(line[-1]).split("\n"))) for line in lines]
    _print_all(aligned(head, flat, console.width if console.is_terminal else None), title)


def print_facts(facts: Sequence[tuple[str, Cell]], title: str) -> None:
    """Print names and their values; what is empty is left out."""
    print_table((), [fact for fact in facts if fact[1]], title)


def aligned(head: Sequence[str], lines: Sequence[Sequence[Cell]], width: int | None = None) -> list[Text]:
    """Return the lines of a table, each column but the last as wide as its widest cell.

    Args:
        head: the columns' names; none makes a table without a head.
        lines: the cells of each line; a cell may have several lines of its own.
        width: terminal cells that a line may take: the last column is cut to fit, to no less than `LEAST`.
    """
    named: list[Sequence[Cell]] = [[Text(name, "bold") for name in head]] if head else []
    table = [[list(_plain(cell).split("\n", allow_blank=True)) for cell in line] for line in [*named, *lines]]
    columns = zip(*(cells[:-1] for cells in table), strict=True)
    widths = [max(part.cell_len for cell in column for part in cell) for column in columns]
    left = max(LEAST, width - sum(widths) - len(GAP) * len(widths)) if width else None
    return [_line(parts, widths, left) for cells in table for parts in zip_longest(*cells, fillvalue=Text())]


def _line(parts: Sequence[Text], widths: Sequence[int], left: int | None) -> Text:
    *before, last = (part.copy() for part in parts)
    for part, width in zip(before, widths, strict=True):
        part.pad_right(width - part.cell_len)
    if left:
        last.truncate(left, overflow="ellipsis")
    line = Text(GAP).join([*before, last])
    line.rstrip()
    return line


def _print_all(lines: Sequence[Text], title: str) -> None:
    for line in [Text(title, "italic"), *lines] if title else lines:
        console.print(line, soft_wrap=True, highlight=False)  # a path or a link that is broken cannot be copied


def _plain(cell: Cell) -> Text:
    text = cell.copy() if isinstance(cell, Text) else Text(cell)
    text.expand_tabs(8)
    return text


def coloured(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, STYLES.get(state) or ("red" if "FAIL" in state else "blue"))


def fail(message: str, code: int) -> NoReturn:
    """Print what went wrong and end."""
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
