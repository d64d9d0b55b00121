"""MLflow runs that are RUNNING although their training has ended, or is gone: all of ours are looked at."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from itertools import islice

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import survey
from blocks.records.survey import TrainingGlance
from blocks.records.tables import now
from blocks.records.words import TrainingState
from blocks.tracking import RunStatus
from blocks.tracking.open_runs import OpenRun
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.hearing import Hearing

STATUS: Mapping[TrainingState, RunStatus] = {
    TrainingState.COMPLETE: "FINISHED",
    TrainingState.FAIL_TRAIN: "FAILED",
    TrainingState.CREATE_FAILED: "FAILED",
    TrainingState.STOPPED: "KILLED",
}
TOLD = timedelta(minutes=2)  # the controller tells MLflow of an end within seconds
OLD = timedelta(hours=1)


def ended_unseen(platform: Platform, hearing: Hearing) -> Iterator[Difference]:
    """Return the runs that nothing writes to any more.

    Raises:
        TrackingError: MLflow does not tell of its runs.
    """
    is_ours, runs = processes.has_part(platform.settings.home, "mlflow"), platform.tracking.open_runs()
    while some := list(islice(runs, survey.AT_ONCE)):
        with platform.records.reading() as session:
            known = survey.trainings_among(session, {run.training_id for run in some})
        for run in some:
            if run.training_id not in known and not is_ours:
                continue  # another platform may know it
            status, what = judged(run, known.get(run.training_id), hearing.at(now()))
            if status:
                whom = run.training_id if run.training_id in known else ""
                finding = Finding(f"MLflow run {run.run_id}", Repair.END_TRACKED, what, whom)
                yield Difference(finding, partial(_end, platform, run.run_id, status))


def judged(run: OpenRun, training: TrainingGlance | None, hearing: Hearing) -> tuple[RunStatus | None, str]:
    """Return which status a run that MLflow takes for running should have, and why; None where all is well."""
    if training is None:
        what = f"MLflow shows it as RUNNING; its training, {run.training_id}, was deleted"
        return ("KILLED" if hearing.age(run.started_at) > OLD else None), what
    status = STATUS.get(TrainingState(training.state))
    if status is None or training.ended_at is None or hearing.age(training.ended_at) < TOLD:
        return None, ""
    return status, f"MLflow shows it as RUNNING; its training is {training.state}"


def _end(platform: Platform, run_id: str, status: RunStatus) -> bool:
    platform.tracking.end_run(run_id, status)
    return True
