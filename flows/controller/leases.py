"""Leases of the machine: who is granted one, and how each gets its run. Two steps of the controller's rounds."""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from blocks.catalogue.catalogue import InstanceType
from blocks.errors import Permanent
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.machine import this_machine
from blocks.pools.runs import Runs
from blocks.records import attempt as verbs
from blocks.records import survey, trainings
from blocks.records.tables import Attempt, now
from blocks.records.transitions import note
from blocks.records.words import Phase, Wish
from flows.controller.waiting import Earlier, earlier_attempts, waits_for, wants_of
from flows.reconcile.in_turn import InTurn
from flows.training.queue import Held, Want, take_turns

# Each start loads this machine's processors and Prefect's database for seconds: many at once end as crashes. A pool
# that is not named here has a scheduler of its own.
STARTS_AT_ONCE = {"process": 4}

log = structlog.get_logger("controller")


class Leases:
    """Grants leases, and submits a run for each; both can be done twice."""

    def __init__(
        self, platform: Platform, runs: Runs, secret: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.platform, self.runs, self.secret = platform, runs, secret
        self._clock, self._submitted = clock, InTurn(clock)
        # Which attempt of which training left something: by a steady clock, so that none that is set ends the wait.
        self._left_since: dict[tuple[str, int], float] = {}

    def grant(self) -> None:
        """Lease the machine to those whose turn it is, and tell the others what they wait for.

        All is decided before anything is written: who writes holds up every beat.
        """
        with self.platform.records.reading() as session:
            waiting = [row for row in trainings.waiting(session) if row.wish == Wish.NONE]
        if not waiting:
            return
        home, machine = self.platform.settings.home, this_machine()
        alive = processes.running(home)
        with self.platform.records.reading() as session:
            earlier = earlier_attempts(session, home, alive)
            # What has ended holds its lease for as long as something of it still runs.
            leases = survey.leases(session, alive)
        wants, told = wants_of(waiting, self._held_up(earlier), self.platform.catalogue)
        held = [Held(one.name, one.memory_bytes, tuple(one.gpus)) for one in leases]
        turn = take_turns(wants, held, machine, now())
        if turn.grants:
            known = {one.attempt_id for one in leases}
            self._grant([one for one in wants if one.training_id in turn.grants], turn.grants, earlier, known)
        told |= turn.waits
        news = {row.id: told[row.id] for row in waiting if told.get(row.id, row.message) != row.message}
        for some in survey.in_parts(news):
            with self.platform.records.writing() as session:
                trainings.tell_waiting(session, {training_id: news[training_id] for training_id in some})

    def _held_up(self, earlier: Mapping[str, Earlier]) -> dict[str, str]:
        """Return what trainings wait for whose earlier attempts are not done with."""
        moment = self._clock()
        last = {of: (of, max(one.left, default=0)) for of, one in earlier.items()}
        self._left_since = {one: self._left_since.get(one, moment) for one in last.values()}
        return {of: waits_for(one, moment - self._left_since[last[of]]) for of, one in earlier.items()}

    def _grant(
        self,
        wants: Sequence[Want],
        gpus: Mapping[str, Sequence[str]],
        earlier: Mapping[str, Earlier],
        known: Collection[str],
    ) -> None:
        """Grant what was decided, as far as it still holds: the next round decides anew."""
        with self.platform.records.writing() as session:
            if any(one.attempt_id not in known for one in survey.leases(session, ())):
                return  # granted by somebody else, who knew nothing of this
            for want in wants:
                row = trainings.still_waiting(session, want.training_id)
                if row is None or row.wish != Wish.NONE:
                    continue
                verbs.grant(
                    session, row, machine="this machine", memory_bytes=want.memory_bytes, gpus=gpus[want.training_id]
                )
                row.message, row.retry_at = "", None
                if row.id in earlier and (left := earlier[row.id].left):
                    what = f"what attempt {max(left)} left is not kept yet; the next goes on without it"
                    note(session, row, f"Warning: {what}.")

    def submit(self) -> None:
        """Submit `train` for every lease that has no run yet, as long as not too many are starting.

        Raises:
            Temporary: the first for which Prefect did not answer; after a few such the others wait for the next round.
        """
        with self.platform.records.reading() as session:
            unclaimed = survey.unclaimed(session)
        catalogue = self.platform.catalogue
        sizes = {row.id: catalogue.instance_type(row.training.instance_type) for row in unclaimed}
        starting = Counter(size.pool for row in unclaimed if row.flow_run_id and (size := sizes[row.id]))

        def start(row: Attempt) -> None:
            size = sizes[row.id]
            if size is None:
                self._not_submitted(row, f"{row.training.instance_type} is no longer in the catalogue")
            elif starting[size.pool] < STARTS_AT_ONCE.get(size.pool, math.inf) and self._start(row, size):
                starting[size.pool] += 1

        self._submitted.each([row for row in unclaimed if not row.flow_run_id], start)

    def _start(self, row: Attempt, size: InstanceType) -> bool:
        try:
            flow_run_id = self._submit(row, size)
        except Permanent as error:  # of this instance type's pool: the others go on
            self._not_submitted(row, str(error))
            return False
        with self.platform.records.writing() as session:
            fresh = session.get(Attempt, row.id)
            if fresh is not None:
                verbs.submitted(fresh, flow_run_id)
        return True

    def _not_submitted(self, row: Attempt, why: str) -> None:
        """Say it where people look at the training's state, once; how it ends if that stays so is reconcile's."""
        told = f"cannot be started: {why}"
        if row.progress == told:
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
