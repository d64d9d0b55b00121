"""Put right what was found of attempts: each repair can be done twice, and one that fails is found again.

First the record, from which on an attempt is fenced; then, aside, what takes long: processes are ended, runs closed.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.pools.runs import Observed, Runs
from blocks.records import attempt as verbs
from blocks.records import survey, trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import Phase, Reason, TrainingState, Wish
from blocks.run_states import OVER
from flows.reconcile.clearing import Left, clear_away, close_runs, end_processes, left_by
from flows.reconcile.difference import Failure, guarded, write_down
from flows.reconcile.findings import NO_RUN, Finding, Repair, Seen, find
from flows.reconcile.hearing import Hearing
from flows.reconcile.look import see
from flows.training.ends import attempts
from flows.training.ends.verdict import Cause, Evidence

Aside = Callable[[Callable[[], None]], None]
"""How work that takes long is done: at once, or in a thread of its own."""


class Mending:
    """Puts right what was found on one page of a look."""

    def __init__(
        self, platform: Platform, runs: Runs, hearing: Hearing, aside: Aside, failed: list[Failure] | None = None
    ) -> None:
        self.platform, self.runs, self.hearing, self.aside = platform, runs, hearing, aside
        self.failed = [] if failed is None else failed

    def mend(self, page: Sequence[Seen], found: Sequence[Finding]) -> None:
        """Do what each finding asks for; one that fails holds up no other."""
        seen = {one.attempt_id: one for one in page}
        repairs = {Repair.STOP: self._wish_stop, Repair.SUBMIT: self._submit_again}
        left: list[Left] = []
        for finding in found:
            with guarded(self.platform, finding, self.failed):
                if finding.repair in (Repair.END, Repair.RELEASE):
                    left += self._end(seen[finding.subject])
                elif finding.repair in repairs:
                    repairs[finding.repair](finding, seen[finding.subject])
        if left:
            self.aside(lambda: clear_away(self.platform, self.runs, left))
        if strays := [finding for finding in found if finding.repair == Repair.KILL]:
            self.aside(lambda: end_processes(self.platform, strays, self.failed))
        if closing := [finding for finding in found if finding.repair == Repair.CLOSE_RUN]:
            self.aside(lambda: close_runs(self.platform, self.runs, closing, self.failed))
        self._note_over(page)

    def _note_over(self, page: Sequence[Seen]) -> None:
        """Note which runs of ended attempts Prefect takes for ended, so that they are asked for no more."""
        if over := [one.attempt_id for one in page if not one.open and one.run in OVER | {NO_RUN}]:
            with self.platform.records.writing() as session:
                survey.runs_are_over(session, over)

    def _still(self, session: Session, seen: Seen) -> Finding | None:
        """Return what is to be done about an attempt as it is in the records by now."""
        for one in survey.among(session, [seen.attempt_id]):
            states = {seen.flow_run_id: Observed(seen.run, "", seen.run_since)}
            local = {one.instance_type} if seen.is_local else set[str]()
            there = see(one, {seen.attempt_id: seen.processes}, states, local)
            return next(iter(find([there], self.hearing.at(now()))), None)
        return None

    def _end(self, seen: Seen) -> list[Left]:
        with self.platform.records.writing() as session:
            row = verbs.locked(session, seen.attempt_id)
            # Repairs before this one, or others that wrote, may have taken long: it may have been claimed or heard of.
            finding = self._still(session, seen)
            if row is None or finding is None or finding.repair not in (Repair.END, Repair.RELEASE):
                return []
            if row.running_at and row.stopped_running_at is None:
                row.stopped_running_at = max(row.running_at, row.beat_at or row.running_at)  # when it was last heard of
            if finding.repair == Repair.RELEASE:
                _release(row, finding.what)
            else:
                attempts.close(session, row, Evidence(finding.cause or Cause.LOST, error=finding.what))
            write_down(session, finding, is_told=finding.repair == Repair.END)
            return [left_by(row)]

    def _wish_stop(self, finding: Finding, seen: Seen) -> None:
        with self.platform.records.writing() as session:
            row = verbs.locked(session, seen.attempt_id)
            if row is None or row.training.wish == Wish.STOP:
                return
            if row.ended_at and row.training.state != TrainingState.CREATE_IN_PROGRESS:  # it is not tried again
                return
            before = row.training.state
            trainings.wish_stop(session, row.training)
            write_down(session, finding, is_told=row.training.state != before)

    def _submit_again(self, finding: Finding, seen: Seen) -> None:
        """Let the controller submit it again: its lease has no run any more."""
        if self.runs.observe(seen.flow_run_id) is not None:
            return
        with self.platform.records.writing() as session:
            row = verbs.locked(session, seen.attempt_id)
            if row is None or row.ended_at or row.token_hash or row.flow_run_id != seen.flow_run_id:
                return
            row.flow_run_id, row.submitted_at = "", None
            write_down(session, finding)


def _release(row: Attempt, why: str) -> None:
    """Give a lease back; the training stays what it is."""
    row.ended_at, row.phase, row.outcome = now(), Phase.ENDED, row.training.state
    row.reason, row.message = Reason.PLATFORM, f"The lease was given back: {why}."
