"""What the controller does again and again: begin, grant, submit, heal, and tell MLflow and the boards.

Each step looks at the records, does one thing, and can be done twice; one that fails is logged and done at the next
round, so that a part that is away holds up only what needs it.
"""

import threading
import time
from collections.abc import Callable

import structlog

from blocks.catalogue.catalogue import InstanceType
from blocks.errors import BlockError, Permanent
from blocks.platform import Platform
from blocks.pools.machine import this_machine
from blocks.pools.runs import Runs
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, Training, now
from blocks.records.transitions import allowed, transition
from blocks.records.words import Reason, TrainingState, Wish
from blocks.tracking import RunStatus
from flows.reconcile.repair import reconcile
from flows.training.queue import Held, Want, take_turns

ROUND_SECONDS = 1.0
HEAL_SECONDS = 4.0

log = structlog.get_logger("controller")

MLFLOW_STATUS: dict[TrainingState, RunStatus] = {
    TrainingState.COMPLETE: "FINISHED",
    TrainingState.FAIL_TRAIN: "FAILED",
    TrainingState.CREATE_FAILED: "FAILED",
    TrainingState.STOPPED: "KILLED",
}


class Watch:
    """The controller's rounds, in a thread of their own."""

    def __init__(self, platform: Platform, runs: Runs, secret: str, boards: Callable[[], None]) -> None:
        self.platform, self.runs, self.secret, self.boards = platform, runs, secret, boards
        self._healed_at, self._started_at = 0.0, now()
        self._end = threading.Event()

    def run(self) -> None:
        """Go round until `stop`."""
        steps = (self.begin, self.grant, self.submit, self.heal, self.tell_mlflow, self.boards)
        while not self._end.wait(ROUND_SECONDS):
            for step in steps:
                try:
                    step()
                except BlockError as error:
                    log.warning("step failed; it is done again", step=step.__name__, error=str(error))
                except Exception:
                    # The controller must outlive a fault in one step: everything else hangs on it.
                    log.exception("step failed", step=step.__name__)

    def stop(self) -> None:
        """End after the step that is under way."""
        self._end.set()

    def begin(self) -> None:
        """Give each training that was requested its MLflow run; then it waits for its machine."""
        with self.platform.records.reading() as session:
            requested = trainings.in_state(session, TrainingState.CREATE_REQUESTED)
        for row in requested:
            if not row.experiment.mlflow_id:
                continue  # its experiment is being created by another run, or has to be retried
            try:
                run_id = self._ensure_run(row)
            except Permanent as error:
                self._move(row.id, TrainingState.CREATE_FAILED, Reason.PLATFORM, f"MLflow refused its run: {error}")
                continue
            with self.platform.records.writing() as session:
                fresh = session.get(Training, row.id)
                if fresh is None:
                    continue
                fresh.mlflow_run_id = run_id  # also where it was stopped meanwhile: its run must be ended
                if fresh.state == TrainingState.CREATE_REQUESTED:
                    transition(session, fresh, TrainingState.CREATE_IN_PROGRESS)

    def _ensure_run(self, row: Training) -> str:
        group, hyperparameters = row.experiment.mlflow_id, row.request["hyperparameters"]
        return self.platform.tracking.ensure_run(group, row.id, row.name, hyperparameters, row.tags, row.description)

    def grant(self) -> None:
        """Lease the machine to those whose turn it is, and tell the others what they wait for."""
        with self.platform.records.writing() as session:
            waiting = {row.id: row for row in trainings.waiting(session) if row.wish == Wish.NONE}
            if not waiting:
                return
            catalogue, wants = self.platform.catalogue, list[Want]()
            for row in waiting.values():
                size = catalogue.instance_type(row.instance_type)
                if size is None or catalogue.image(row.image) is None:
                    missing = row.instance_type if size is None else row.image
                    row.message = f"waits for {missing}, which is no longer in the catalogue"
                else:
                    wants.append(_want(row, size))
            held = [Held(a.training.name, a.memory_bytes, tuple(a.gpus)) for a in verbs.open_attempts(session)]
            turn = take_turns(wants, held, this_machine(), now())
            for want in wants:
                row = waiting[want.training_id]
                if want.training_id in turn.grants:
                    gpus = turn.grants[want.training_id]
                    verbs.grant(session, row, machine="this machine", memory_bytes=want.memory_bytes, gpus=gpus)
                    row.message, row.retry_at = "", None
                elif row.message != turn.waits[want.training_id]:
                    row.message = turn.waits[want.training_id]

    def submit(self) -> None:
        """Submit `train` for every lease that has no run yet."""
        with self.platform.records.reading() as session:
            leased = [row for row in verbs.open_attempts(session) if not row.flow_run_id]
        for row in leased:
            size = self.platform.catalogue.instance_type(row.training.instance_type)
            if size is None:
                continue
            try:
                flow_run_id = self._submit(row, size)
            except Permanent as error:  # of this instance type's pool: the others go on
                log.warning("not submitted", attempt=row.id, pool=size.pool, error=str(error))
                continue
            with self.platform.records.writing() as session:
                fresh = session.get(Attempt, row.id)
                if fresh is not None and not fresh.flow_run_id:
                    fresh.flow_run_id = flow_run_id

    def _submit(self, row: Attempt, size: InstanceType) -> str:
        return self.runs.submit(
            row.id,
            {"training_id": row.training_id, "attempt": row.number},
            name=f"{row.training.name}-{row.number}",
            pool=size.pool,
            tags=["training", row.training_id],
            environment={"EMF_CLAIM_CODE": verbs.claim_code(self.secret, row.id)},
            job_variables=size.job_variables,
        )

    def heal(self) -> None:
        """Reconcile, every few seconds."""
        if time.monotonic() - self._healed_at < HEAL_SECONDS:
            return
        self._healed_at = time.monotonic()
        for finding in reconcile(self.platform, self.runs, listening_since=self._started_at):
            log.warning("reconciled", attempt=finding.attempt_id, repair=finding.repair, what=finding.what)

    def tell_mlflow(self) -> None:
        """Give the MLflow run of every ended training the status that the training has."""
        with self.platform.records.reading() as session:
            ended = [
                row
                for row in trainings.in_state(session, *MLFLOW_STATUS)
                if not row.mlflow_status and row.mlflow_run_id
            ]
        for row in ended:
            status = MLFLOW_STATUS[TrainingState(row.state)]
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


def _want(row: Training, size: InstanceType) -> Want:
    count = int(row.request["instance_count"])
    return Want(row.id, row.name, size.memory_bytes * count, size.gpus * count, row.retry_at)
