"""Leases of the machine: who is granted one, and how each gets its run. Two steps of the controller's rounds."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from blocks.catalogue.catalogue import Catalogue, InstanceType
from blocks.errors import Permanent
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.machine import this_machine
from blocks.pools.runs import Runs
from blocks.records import attempt as verbs
from blocks.records import survey, trainings
from blocks.records.tables import Attempt, Training, now
from blocks.records.transitions import note
from blocks.records.words import Phase, Wish
from flows.reconcile.tidy import being_tidied, untidied
from flows.training.queue import Held, Want, take_turns

# For how long a next attempt waits until what the last one left is kept, where nobody gets on with that.
KEEPING = timedelta(minutes=10)
# Each start loads this machine's processors and Prefect's database for seconds: many at once end as crashes. A pool
# that is not named here has a scheduler of its own.
STARTS_AT_ONCE = {"process": 4}

log = structlog.get_logger("controller")


class Leftover(NamedTuple):
    """What a training's ended attempts still have on this machine: the last of them, and the one being kept now."""

    last: Attempt | None
    at_work: Attempt | None


class Leases:
    """Grants leases, and submits a run for each; both can be done twice."""

    def __init__(self, platform: Platform, runs: Runs, secret: str) -> None:
        self.platform, self.runs, self.secret = platform, runs, secret
        self.began = now()

    def grant(self) -> None:
        """Lease the machine to those whose turn it is, and tell the others what they wait for."""
        with self.platform.records.reading() as session:
            seen = trainings.waiting(session)
        if not seen:
            return
        # Before the transaction, which holds up every beat: files, and every process of the machine.
        home, catalogue, machine = self.platform.settings.home, self.platform.catalogue, this_machine()
        alive = processes.running(home)
        left = {row.id: Leftover(untidied(home, row), being_tidied(home, row)) for row in seen}
        with self.platform.records.writing() as session:
            waiting = {row.id: row for row in trainings.waiting(session) if row.wish == Wish.NONE and row.id in left}
            wants = _wants(waiting, left, alive.keys(), catalogue, self.began)
            # What has ended holds its lease for as long as something of it still runs.
            held = [Held(one.name, one.memory_bytes, tuple(one.gpus)) for one in survey.leases(session, alive)]
            turn = take_turns(wants, held, machine, now())
            for want in wants:
                row = waiting[want.training_id]
                if want.training_id in turn.grants:
                    _grant(session, row, want, turn.grants[want.training_id], left[row.id].last)
                elif row.message != turn.waits[want.training_id]:
                    row.message = turn.waits[want.training_id]

    def submit(self) -> None:
        """Submit `train` for every lease that has no run yet, as long as not too many are starting."""
        with self.platform.records.reading() as session:
            unclaimed = survey.unclaimed(session)
        sizes = {row.id: self.platform.catalogue.instance_type(row.training.instance_type) for row in unclaimed}
        starting = Counter(size.pool for row in unclaimed if row.flow_run_id and (size := sizes[row.id]))
        for row in unclaimed:
            size = sizes[row.id]
            if size is None:
                self._not_submitted(row, f"{row.training.instance_type} is no longer in the catalogue")
                continue
            if row.flow_run_id or starting[size.pool] >= STARTS_AT_ONCE.get(size.pool, math.inf):
                continue
            try:
                flow_run_id = self._submit(row, size)
            except Permanent as error:  # of this instance type's pool: the others go on
                self._not_submitted(row, str(error))
                continue
            with self.platform.records.writing() as session:
                fresh = session.get(Attempt, row.id)
                if fresh is not None:
                    verbs.submitted(fresh, flow_run_id)
            starting[size.pool] += 1

    def _not_submitted(self, row: Attempt, why: str) -> None:
        """Say it where people look at the training's state, once; how it ends if that stays so is reconcile's."""
        told = f"cannot be started: {why}"
        if row.flow_run_id or row.progress == told:
            return
        log.warning("not submitted", attempt=row.id, why=why)
        with self.platform.records.writing() as session:
            fresh = session.get(Attempt, row.id)
            if fresh is not None and fresh.phase == Phase.GRANTED:
                fresh.progress = told

    def _submit(self, row: Attempt, size: InstanceType) -> str:
        return self.runs.submit(
            row.id,
            {"training_id": row.training_id, "attempt": row.number},
            name=f"{row.training.name}-{row.number}",
            pool=size.pool,
            tags=["training", row.training_id],
            # The mark: by it the run itself, and what it installs, is seen to live and can be ended.
            environment={"EMF_CLAIM_CODE": verbs.claim_code(self.secret, row.id), processes.MARK: row.id},
            job_variables=size.job_variables,
        )


def _wants(
    waiting: Mapping[str, Training],
    left: Mapping[str, Leftover],
    alive: Collection[str],
    catalogue: Catalogue,
    began: datetime,
) -> list[Want]:
    """Return what those need that only wait for their turn; the others are told what they wait for."""
    wants: list[Want] = []
    for row in waiting.values():
        size = catalogue.instance_type(row.instance_type)
        if size is None or catalogue.image(row.image) is None:
            missing = row.instance_type if size is None else row.image
            row.message = f"waits for {missing}, which is no longer in the catalogue"
        elif told := _waits_for_processes(row, alive) or _waits_for(left[row.id], began):
            row.message = told
        else:
            wants.append(_want(row, size))
    return wants


def _grant(session: Session, row: Training, want: Want, gpus: tuple[str, ...], left: Attempt | None) -> None:
    verbs.grant(session, row, machine="this machine", memory_bytes=want.memory_bytes, gpus=gpus)
    row.message, row.retry_at = "", None
    if left is not None:
        what = f"what attempt {left.number} left is not kept yet; the next goes on without it"
        note(session, row, f"Warning: {what}.")


def _waits_for_processes(row: Training, alive: Collection[str]) -> str:
    """Return what a next attempt waits for while an earlier one's processes live: both would write in one place."""
    live = [str(attempt.number) for attempt in row.attempts if attempt.id in alive]
    return f"waits until the last processes of attempt {', '.join(live)} have ended on this machine" if live else ""


def _waits_for(left: Leftover, began: datetime) -> str:
    """Return what a next attempt waits for while what earlier ones left is still to be kept.

    That is as long as it takes while somebody is at work on it: a next attempt would go on from an older checkpoint,
    and the two would commit beside each other. Where nobody gets on it is some time, which counts from when this
    controller `began`: while none ran, nobody could keep it.
    """
    if left.at_work is not None:
        return f"waits while what attempt {left.at_work.number} left on this machine is being kept"
    earlier = left.last
    if earlier is None or earlier.ended_at is None or now() - max(earlier.ended_at, began) > KEEPING:
        return ""
    minutes = KEEPING.total_seconds() / 60
    return f"waits, for up to {minutes:.0f} min, until what attempt {earlier.number} left on this machine is kept"


def _want(row: Training, size: InstanceType) -> Want:
    count = int(row.request["instance_count"])
    return Want(row.id, row.name, size.memory_bytes * count, size.gpus * count, row.retry_at, size.gpu_kind)
