"""`emf training logs`: what a training's script printed, at once or as it comes."""

import json
import sys
from collections import deque
from typing import Annotated

import typer

from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.errors import NotFound
from flows.cli.output import AsJson, Name
from flows.training.reading import ENDED, find


def logs(
    training: Name,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training has ended.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="How many of the last lines; 0 means all.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Print a training's log."""
    platform = Platform()
    with platform.records.reading() as session:
        training_id = find(session, training).id
    if follow_:
        return follow(platform, training_id, lines, as_json)
    found = platform.logs.tail(training_id, lines) if lines else platform.logs.follow(training_id, lambda: True)
    for line in found:
        _print(line, as_json)
    return None


def follow(
    platform: Platform, training_id: str, last: int = 0, as_json: bool = False, *, on_stderr: bool = False
) -> None:
    """Print lines as they come until the training has ended; of those there already the `last`, where 0 means all."""
    there = deque[LogLine](maxlen=last)
    is_caught_up = last == 0

    def has_ended() -> bool:
        nonlocal is_caught_up
        while there:
            _print(there.popleft(), as_json, on_stderr)
        is_caught_up = True
        sys.stdout.flush()
        with platform.records.reading() as session:
            try:
                return trainings.find(session, training_id).state in ENDED
            except NotFound:
                return True  # deleted meanwhile

    for line in platform.logs.follow(training_id, has_ended):
        if is_caught_up:
            _print(line, as_json, on_stderr)
        else:
            there.append(line)


def _print(line: LogLine, as_json: bool, on_stderr: bool = False) -> None:
    typer.echo(json.dumps(line._asdict(), default=str, ensure_ascii=False) if as_json else line.body, err=on_stderr)
