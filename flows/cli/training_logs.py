"""`emf training logs`: what a training's script printed, at once or as it comes."""

import json
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.errors import NotFound
from flows.cli.output import AsJson, Name
from flows.training.reading import ENDED, find, instances, line_of

Attempt = Annotated[int | None, typer.Option("--attempt", min=1, help="Only of this attempt.")]
Instance = Annotated[int | None, typer.Option("--instance", min=0, help="Only of this instance.")]


def logs(
    training: Name,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training has ended.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="How many of the last lines; 0 means all.")
    ] = 0,
    attempt: Attempt = None,
    instance: Instance = None,
    as_json: AsJson = False,
) -> None:
    """Print a training's log; of several instances every line begins with its instance's number."""
    platform = Platform()
    with platform.records.reading() as session:
        row = find(session, training)
    of = Lines(as_json=as_json, of_several=instances(row) > 1 and instance is None, attempt=attempt, instance=instance)
    if follow_:
        return follow(platform, row.id, lines, of)
    if lines:
        found: Iterable[LogLine] = platform.logs.tail(row.id, lines, attempt, instance)
    else:
        found = platform.logs.follow(row.id, lambda: True, attempt, instance)
    for line in found:
        of.show(line)
    return None


@dataclass(frozen=True)
class Lines:
    """Which lines of a log are printed, and how."""

    as_json: bool = False
    on_stderr: bool = False
    of_several: bool = False
    attempt: int | None = None
    instance: int | None = None

    def show(self, line: LogLine) -> None:
        """Print one."""
        told = json.dumps(line._asdict(), default=str, ensure_ascii=False) if self.as_json else None
        typer.echo(told or line_of(line, of_several=self.of_several), err=self.on_stderr)


def follow(platform: Platform, training_id: str, last: int = 0, of: Lines = Lines()) -> None:
    """Print lines as they come until the training has ended; of those there already the `last`, where 0 means all."""
    there = deque[LogLine](maxlen=last)
    is_caught_up = last == 0

    def has_ended() -> bool:
        nonlocal is_caught_up
        while there:
            of.show(there.popleft())
        is_caught_up = True
        sys.stdout.flush()
        with platform.records.reading() as session:
            try:
                return trainings.find(session, training_id).state in ENDED
            except NotFound:
                return True  # deleted meanwhile

    for line in platform.logs.follow(training_id, has_ended, of.attempt, of.instance):
        if is_caught_up:
            of.show(line)
        else:
            there.append(line)
