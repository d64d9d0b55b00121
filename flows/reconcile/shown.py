"""Runs that Prefect shows as alive or to come, and whose attempt has ended or is unknown: all of them are looked at."""

import re
from collections.abc import Iterator
from functools import partial

from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.runs import Runs, Unfinished
from blocks.records import survey
from blocks.records.survey import Glance
from blocks.records.tables import now
from blocks.records.words import TrainingState
from flows.reconcile.difference import Difference
from flows.reconcile.findings import EXIT, Finding, Repair
from flows.reconcile.hearing import Hearing

ATTEMPT = re.compile(r"tr-[0-9a-f]{12}-a[1-9][0-9]*")
UNKNOWN = "The records know no such attempt; its training was deleted."


def of_nobody(platform: Platform, runs: Runs, hearing: Hearing) -> Iterator[Difference]:
    """Return the runs of `train` that have nothing to do any more.

    Raises:
        PrefectAway: Prefect does not tell of its runs.
    """
    is_ours = processes.has_part(platform.settings.home, "prefect")
    for page in runs.unfinished():
        # Prefect first: an attempt is recorded before its run is made.
        ours = [run for run in page if ATTEMPT.fullmatch(run.attempt_id)]
        with platform.records.reading() as session:
            known = {one.attempt_id: one for one in survey.among(session, {run.attempt_id for run in ours})}
        for run in ours:
            if run.attempt_id not in known and not is_ours:
                continue  # another platform may know it
            if (finding := judged(run, known.get(run.attempt_id), hearing.at(now()))) is not None:
                yield Difference(finding, partial(_close, runs, run, known.get(run.attempt_id)))


def judged(run: Unfinished, attempt: Glance | None, hearing: Hearing) -> Finding | None:
    """Say what is to be done about a run that Prefect takes for unfinished, and the attempt that it is for."""
    if attempt is None:
        what = f"Prefect shows a run of {run.attempt_id}, which the records do not know, as {run.state}"
        return Finding(run.flow_run_id, Repair.CLOSE_RUN, what) if hearing.age(run.created_at) >= EXIT else None
    if attempt.ended_at is None or hearing.age(attempt.ended_at) < EXIT or attempt.flow_run_id == run.flow_run_id:
        return None  # the attempt's own run is looked at with it
    what = f"Prefect shows another run of {run.attempt_id}, which has ended, as {run.state}"
    return Finding(run.flow_run_id, Repair.CLOSE_RUN, what, attempt.training_id)


def _close(runs: Runs, run: Unfinished, attempt: Glance | None) -> bool:
    is_stopped = attempt is not None and attempt.training_state == TrainingState.STOPPED
    runs.close(run.flow_run_id, UNKNOWN if attempt is None else "The attempt has ended.", cancelled=is_stopped)
    return True
