"""What the controller does again and again: grant, submit; beside it tell MLflow and the boards, heal, clear up, tidy.

Each step looks at the records, does one thing, and can be done twice; one that fails is logged and done at the next
round, so that a part that is away holds up only what needs it. A part may also hang, until each call to it is given up:
what needs MLflow has a loop of its own, and so have the boards; what has its lease could not start without Prefect.
Deaths must be found in time, looking at all that may have been left behind takes long, keeping a large checkpoint
longer: each has a loop of its own as well, the last a few, so that those that wait for a machine do not wait for that.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from blocks.errors import BlockError, Permanent
from blocks.platform import Platform
from blocks.pools.runs import Runs
from blocks.records import trainings
from blocks.records.tables import Training
from blocks.records.transitions import allowed, transition
from blocks.records.words import ExperimentState, Reason, TrainingState
from flows.controller.leases import Leases
from flows.controller.pulse import Pulse
from flows.controller.telling import Telling
from flows.reconcile.in_turn import InTurn
from flows.reconcile.rounds import reconcile
from flows.reconcile.tidy import tidy
from flows.reconcile.tracked import STATUS
from flows.tensorboard import service as tensorboard

PULSE_SECONDS = 1.0
ROUND_SECONDS = 1.0
# A lease runs out after 15 s: with this pause, and a second for the look itself, a death is found within 20 s.
HEAL_SECONDS = 2.0
CLEAR_UP_FIRST_SECONDS = 20.0  # what was missed while no controller ran
CLEAR_UP_SECONDS = 180.0
TIDY_SECONDS = 5.0
TIDY_ROUND_SECONDS = 30.0
TIDY_AT_ONCE = 4  # a place that is silent takes minutes to fail: as many as this may, before others wait for one
TIDY_LONGEST_PAUSE_SECONDS = 120.0  # each try may send a large checkpoint for nothing, and a next attempt waits for one
# After how long without a word a loop counts as late.
STEP_PATIENCE_SECONDS = 60.0
PART_PATIENCE_SECONDS = 180.0  # a few calls to a part that hangs, until each is given up
HEAL_PATIENCE_SECONDS = 600.0  # thousands of attempts may end at once
TIDY_PATIENCE_SECONDS = 3600.0

log = structlog.get_logger("controller")


class Watch:
    """The controller's loops, each in a thread of its own."""

    def __init__(
        self,
        platform: Platform,
        runs: Runs,
        secret: str,
        boards: Callable[[], None],
        pulse: Pulse | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.platform, self.runs, self.boards = platform, runs, boards
        self.leases = Leases(platform, runs, secret, clock)
        self.telling = Telling(platform, InTurn(clock))
        self._begun, self._ended = InTurn(clock), InTurn(clock)
        self._tidied = InTurn(clock, TIDY_LONGEST_PAUSE_SECONDS)
        self.pulse = pulse or Pulse()
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the loops; they go on until `stop`."""
        loops = {
            "pulse": self.run_pulse,
            "watch": self.run,
            "MLflow": self.run_mlflow,
            "boards": self.run_boards,
            "heal": self.run_heal,
            "clear up": self.run_clear_up,
            "close idle": self.run_close_idle,
            **{f"tidy {number}": self.run_tidy for number in range(1, TIDY_AT_ONCE + 1)},
        }
        self._threads = [threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops.items()]
        for thread in self._threads:
            thread.start()

    def run_pulse(self) -> None:
        """Beat until `stop`: a gap between two of these is none of any step's."""
        self._go((), PULSE_SECONDS, STEP_PATIENCE_SECONDS)

    def run(self) -> None:
        """Start what can be started until `stop`."""
        self._go((self.leases.grant, self.leases.submit), ROUND_SECONDS, PART_PATIENCE_SECONDS)

    def run_mlflow(self) -> None:
        """Do what needs MLflow until `stop`."""
        steps = (self.begin, self.tell_mlflow, self.telling.tell_changes)
        self._go(steps, ROUND_SECONDS, PART_PATIENCE_SECONDS)

    def run_boards(self) -> None:
        """Keep the boards current until `stop`."""
        self._go((self.boards,), ROUND_SECONDS, PART_PATIENCE_SECONDS)

    def run_heal(self) -> None:
        """Heal until `stop`."""
        self._go((self.heal,), HEAL_SECONDS, HEAL_PATIENCE_SECONDS)

    def run_clear_up(self) -> None:
        """Clear up until `stop`."""
        self._go((self.clear_up,), CLEAR_UP_SECONDS, TIDY_PATIENCE_SECONDS, first=CLEAR_UP_FIRST_SECONDS)

    def run_tidy(self) -> None:
        """Tidy until `stop`."""
        self._go((self.tidy,), TIDY_SECONDS, TIDY_PATIENCE_SECONDS)

    def run_close_idle(self) -> None:
        """Give back what nobody uses until `stop`."""
        self._go((self.close_idle,), TIDY_SECONDS, PART_PATIENCE_SECONDS)

    def _go(
        self, steps: Sequence[Callable[[], None]], pause: float, patience: float, first: float | None = None
    ) -> None:
        loop = threading.current_thread().name
        rounds = itertools.chain([pause if first is None else first], itertools.repeat(pause))
        while not self._end.wait(next(rounds)):
            self.pulse.beat(loop, patience)
            for step in steps:
                self.pulse.beat(loop, patience)
                try:
                    step()
                except BlockError as error:
                    log.warning("step failed; it is done again", step=step.__name__, error=str(error))
                except Exception:
                    # The controller must outlive a fault in one step: everything else hangs on it.
                    log.exception("step failed", step=step.__name__)

    def stop(self, within: float = 0.0) -> None:
        """End after the steps that are under way; wait for them for so many seconds."""
        self._end.set()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def begin(self) -> None:
        """Give each training that was requested its MLflow run; then it waits for its machine."""
        with self.platform.records.reading() as session:
            requested = trainings.in_state(session, TrainingState.CREATE_REQUESTED)
        self._begun.each(requested, self._begin)

    def _begin(self, row: Training) -> None:
        if not row.experiment.mlflow_id:
            self._wait_for_experiment(row)
            return
        try:
            run_id = self._ensure_run(row)
        except Permanent as error:
            self._move(row.id, TrainingState.CREATE_FAILED, Reason.PLATFORM, f"MLflow refused its run: {error}")
            return
        with self.platform.records.writing() as session:
            fresh = session.get(Training, row.id)
            if fresh is None:
                return
            fresh.mlflow_run_id = run_id  # also where it was stopped meanwhile: its run must be ended
            if fresh.state == TrainingState.CREATE_REQUESTED:
                transition(session, fresh, TrainingState.CREATE_IN_PROGRESS)

    def _wait_for_experiment(self, row: Training) -> None:
        """Tell a training that its experiment is not made yet; one whose creation failed fails it."""
        group = row.experiment
        if group.state == ExperimentState.CREATE_FAILED:
            message = f"Its experiment {group.name} could not be made: {group.message}"
            self._move(row.id, TrainingState.CREATE_FAILED, Reason.PLATFORM, message)
            return
        message = f"waits for its experiment {group.name}, which is {group.state}"
        if row.message == message:
            return
        with self.platform.records.writing() as session:
            fresh = session.get(Training, row.id)
            if fresh is not None and fresh.state == TrainingState.CREATE_REQUESTED:
                fresh.message = message

    def _ensure_run(self, row: Training) -> str:
        group, hyperparameters = row.experiment.mlflow_id, row.request["hyperparameters"]
        return self.platform.tracking.ensure_run(group, row.id, row.name, hyperparameters, row.tags, row.description)

    def heal(self) -> None:
        """Find and end what is dead.

        Processes are ended and runs closed beside that, so that the next death is found in time.
        """
        since = self.pulse.listening_since
        self.pulse.report = reconcile(self.platform, self.runs, listening_since=since, aside=_aside)

    def clear_up(self) -> None:
        """Look at all that may have been left behind, and put it right."""
        since = self.pulse.listening_since
        report = reconcile(self.platform, self.runs, thorough=True, listening_since=since, aside=_aside)
        self.pulse.thorough = report

    def tidy(self) -> None:
        """Keep what ended attempts left, and remove their folders."""
        for attempt_id in tidy(self.platform, self._tidied, TIDY_ROUND_SECONDS):
            log.info("tidied", attempt=attempt_id)

    def close_idle(self) -> None:
        """Give back the ports of TensorBoards at which nobody looks any more."""
        for resource_id in tensorboard.close_idle(self.platform):
            log.info("closed", tensorboard=resource_id)

    def tell_mlflow(self) -> None:
        """Give the MLflow run of every ended training the status that the training has."""
        with self.platform.records.reading() as session:
            ended = trainings.untold(session)
        self._ended.each(ended, self._tell_end)

    def _tell_end(self, row: Training) -> None:
        status = STATUS[TrainingState(row.state)]
        try:
            self.platform.tracking.end_run(row.mlflow_run_id, status)
        except Permanent as error:
            log.warning("MLflow has no such run", training=row.id, error=str(error))
        with self.platform.records.writing() as session:
            fresh = session.get(Training, row.id)
            if fresh is not None:
                fresh.mlflow_status = status

    def _move(self, training_id: str, to: TrainingState, reason: Reason, message: str) -> None:
        with self.platform.records.writing() as session:
            row = session.get(Training, training_id)
            if row is not None and allowed("training", row.state, to):
                transition(session, row, to, reason=reason, message=message)


def _aside(work: Callable[[], None]) -> None:
    def logged() -> None:
        try:
            work()
        except Exception:
            log.exception("not done; a later look finds it")

    threading.Thread(target=logged, name="aside", daemon=True).start()
