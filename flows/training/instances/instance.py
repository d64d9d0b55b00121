"""One instance of an attempt: its folders, its log, its door, and whether it is to go on. Free of Prefect.

What every instance does with it: `staging`, `environment`, `job`, `launch`, `uploads`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blocks.logs.errors import LogError
from blocks.logs.line import Level, Source
from blocks.logs.sink import Fragment, InstanceLog, LogSink
from blocks.records.words import Wish
from blocks.storage.storage import Storage
from blocks.storage.store import Progress
from flows.decided import Decided
from flows.training.assignment import Assignment
from flows.training.checkpoints.checkpoint import Known
from flows.training.checkpoints.provenance import Provenance
from flows.training.ends.verdict import LAST_LINES, LINE_CHARACTERS, Cause, cut
from flows.training.instances.contract import Folders, Rank
from flows.training.instances.door import Door


class StepFailed(Decided):
    """A step before or after the script failed; `cause` says what kind of failure it is."""

    def __init__(self, cause: Cause, message: str, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.cause, self.last_lines = cause, last_lines


class Interrupted(Decided):
    """The attempt is to end now: a wish, a signal, or it was given up."""


class ScriptLog(InstanceLog):
    """An instance's log that remembers the script's last lines: they are evidence."""

    def __init__(self, sink: LogSink, training_id: str, attempt: int, instance: int) -> None:
        super().__init__(sink, training_id, attempt, instance)
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    def write(self, fragments: Sequence[Fragment], source: Source = "script", level: Level = "INFO") -> None:
        """Store lines, and remember them where they are the script's."""
        super().write(fragments, source, level)
        if source == "script":
            self.last.extend(cut(body, LINE_CHARACTERS) for body, _ in fragments[-LAST_LINES:])

    def say(self, text: str, level: Level = "INFO") -> None:
        """Store what the platform has to say; a store that is away loses the words and ends nothing."""
        with suppress(LogError):
            super().say(text, level)


@dataclass
class Instance:
    """One instance of an attempt."""

    assignment: Assignment
    rank: Rank
    root: Path
    storage: Storage
    log: ScriptLog
    door: Door
    stop: threading.Event = field(default_factory=threading.Event)
    made_from: Provenance | None = None  # what it works with
    resumed: Known | None = None  # the checkpoint of ours that it goes on from
    furthest: int = 0  # how many bytes of the transfer at hand any try has brought

    @property
    def folders(self) -> Folders:
        """Where the script finds and leaves things."""
        data_sets = {d.name: self.root / "data" / d.name for d in self.assignment.spec.data_sets}
        names = ("source", "model", "checkpoint_input", "checkpoint", "tensorboard", "home", "tmp")
        return Folders(data_sets=data_sets, **{name: self.root / name for name in names})

    def is_to_end(self) -> bool:
        """Say whether the attempt is to end now."""
        return self.stop.is_set() or self.door.given_up.is_set() or self.door.wish in (Wish.STOP, Wish.SUSPEND)

    def go_on(self) -> None:
        """Raise `Interrupted` where the attempt is to end now."""
        if self.is_to_end():
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Wait a while; raise `Interrupted` as soon as the attempt is to end."""
        for _ in range(max(1, int(seconds * 2))):
            self.go_on()
            self.stop.wait(0.5)
        self.go_on()

    def say(self, text: str) -> None:
        """Tell what is being done: in the training's log, and where people look at its state."""
        self.door.progress = text
        self.log.say(text)

    def progress(self, what: str, tell: Callable[[str, float], None]) -> Progress:
        """Return what a transfer reports to: it tells how far it is, and ends it where the attempt is to end."""

        def report(done: int, total: int) -> None:
            self.go_on()
            self.furthest = max(self.furthest, done)
            tell(what, done / total if total else 1.0)

        return report
