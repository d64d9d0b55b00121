"""What this room adds to `emf`: `up`, `down` and `status`. Loaded by its entry point: `flows` never imports it."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from blocks import settings as platform_settings
from blocks.errors import BlockError
from deployments.one_machine.errors import OneMachineError
from flows.markdown import size

if TYPE_CHECKING:  # every `emf` command loads this module: what only these three need is imported in them
    from deployments.one_machine.parts import Part
    from deployments.one_machine.status import Row


def register(app: typer.Typer) -> None:
    """Add the commands to the terminal's door."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up() -> None:
    """Start the platform on this machine; what already runs is left alone."""
    from deployments.one_machine import start

    with _told(), Terminal() as terminal:
        settings = platform_settings.load()
        if start.up(settings, terminal):
            terminal.note(f"The platform is up. Its console: {settings.prefect_url}")
        else:
            terminal.note(f"Everything is running. The console: {settings.prefect_url}")


def down() -> None:
    """Stop the platform: workers first, then the controller, then the servers. What is stored stays."""
    from deployments.one_machine import stop

    with _told(), Terminal() as terminal:
        settings = platform_settings.load()
        terminal.note("The platform is down." if stop.down(settings, terminal) else "Nothing runs.")


def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show each part: whether it runs, whether it is well, where its page is. Exit code 1 if one is not well."""
    from deployments.one_machine import status as platform_status
    from flows.cli.output import print_table

    with _told():
        settings = platform_settings.load()
        rows = platform_status.status(settings)
    healthy = all(row.healthy for row in rows)
    boards = _boards() if any(row.part == "prefect" and row.healthy for row in rows) else {}
    if as_json:
        parts = [row.as_dict() for row in rows]
        answer = {"home": str(settings.home), "healthy": healthy, "parts": parts, "boards": boards}
        Console().print_json(json.dumps(answer))
    else:
        print_table(("part", "state", "page", "pid", "up", "memory", "health"), [_line(row) for row in rows])
        if boards:
            print_table(("board", "page"), list(boards.items()))
    raise typer.Exit(0 if healthy else 1)


def duration(seconds: int | None) -> str:
    """Return a length of time in its two largest units, as in `3h07m`; "" for none."""
    if seconds is None:
        return ""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{seconds % 60:02}s"


def _boards() -> dict[str, str]:
    """Return the page of each board in Prefect's UI, whose menu does not lead there; none while Prefect is away."""
    from blocks.pools.errors import PrefectAway
    from flows import api

    try:
        return {name: api.board(name) for name in get_args(api.Board)}
    except PrefectAway:
        return {}


def _line(row: "Row") -> tuple[str | Text, ...]:
    memory = size(row.memory_bytes) if row.memory_bytes else ""
    health = Text("well", "green") if row.healthy else Text(row.fault, "red")
    return row.part, row.state, row.page, str(row.pid or ""), duration(row.uptime_seconds), memory, health


class Terminal:
    """Progress for a person: a line for each thing that happened, a spinner for what is waited for."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.spinner = self.console.status("")

    def __enter__(self) -> "Terminal":
        self.spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.spinner.stop()

    def note(self, text: str) -> None:
        """Tell something that happened."""
        self.console.print(escape(text), soft_wrap=True)

    def waiting(self, what: Iterable[str]) -> None:
        """Tell what is being waited for now."""
        self.spinner.update(f"[dim]waiting for {escape(', '.join(what))}[/]")

    def ready(self, part: "Part", seconds: float) -> None:
        """Tell that a part became well, so many seconds after the start."""
        self.console.print(f"[green]✓[/] {part.name:<15} {seconds:5.1f} s  {part.page}", soft_wrap=True)


@contextmanager
def _told() -> Iterator[None]:
    """Tell errors that are meant for the person at the terminal without a traceback."""
    try:
        yield
    except (OneMachineError, BlockError) as error:
        Console(stderr=True, highlight=False).print(f"[red]✗[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. `emf up` goes on from here; `emf down` ends what runs.")
        raise typer.Exit(130) from None
