"""Experiments and runs in MLflow, found again by our own ids, so that every verb can be said twice."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from blocks.tracking.entities import LONGEST_TAG, LONGEST_VALUE, METRICS, Metric, batches, key_for, pairs
from blocks.tracking.errors import NotFound, Rejected
from blocks.tracking.open_runs import OpenRun, open_runs

if TYPE_CHECKING:
    from blocks.tracking.rest import Rest

EXPERIMENT_TAG = "easymaker.experiment_id"
TRAINING_TAG = "easymaker.training_id"
DESCRIPTION_TAG = "mlflow.note.content"
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DELETED = "deleted"


class Tracking:
    """The tracking server at `url`.

    All verbs but the two `…_page` raise Unreachable (Temporary), NotFound or Rejected (Permanent). `timeout_seconds` is
    what one request may take; none is repeated here. The first request imports the HTTP client.
    """

    def __init__(self, url: str, timeout_seconds: float = 20.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds

    @cached_property
    def _rest(self) -> "Rest":
        from blocks.tracking.rest import Rest  # 0.4 s, which those who only print links need not wait for

        return Rest(self.url, self._timeout)

    def experiment_page(self, experiment_id: str) -> str:
        """Return the address of an experiment's page."""
        return f"{self.url}/#/experiments/{experiment_id}"

    def run_page(self, experiment_id: str, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{self.experiment_page(experiment_id)}/runs/{run_id}"

    def ensure_experiment(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """Return the MLflow id of the experiment whose id of ours is `key`: found by its tag, else made.

        One that was deleted or renamed in MLflow is restored and named again. One of that name that somebody made by
        hand is adopted; one that was deleted gives up its name and stays deleted.

        Raises:
            Rejected: the name belongs to an experiment with another id of ours.
        """
        given = dict(tags) | {EXPERIMENT_TAG: key}
        experiment = self._experiment_of(key) or self._adopt(name)
        if experiment is None:
            body = {"name": name, "tags": pairs(given, LONGEST_TAG)}
            try:
                return str(self._rest.post("experiments/create", body)["experiment_id"])
            except Rejected as refusal:
                # Somebody, perhaps another call with our own key, was quicker by a moment.
                experiment = self._experiment_of(key) or self._adopt(name)
                if experiment is None:
                    raise refusal from None
        experiment_id = str(experiment["experiment_id"])
        if experiment["lifecycle_stage"] == _DELETED:
            self._rest.post("experiments/restore", {"experiment_id": experiment_id})
        if experiment["name"] != name:
            self._rest.post("experiments/update", {"experiment_id": experiment_id, "new_name": name})
        self._tag_experiment(experiment_id, given)
        return experiment_id

    def change_experiment(
        self, experiment_id: str, description: str | None, tags: Mapping[str, str], *, gone: Iterable[str] = ()
    ) -> None:
        """Set the description (None: leave it) and these tags, and delete those that are `gone`; others stay."""
        text = {} if description is None else {DESCRIPTION_TAG: description}
        self._tag_experiment(experiment_id, dict(tags) | text)
        self._untag("experiments/delete-experiment-tag", {"experiment_id": experiment_id}, gone)

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete the experiment and its runs, its name free for another; one that is gone is fine.

        MLflow keeps what is deleted until `mlflow gc`, with its name: so it is renamed first.
        """
        try:
            experiment = self._rest.get("experiments/get", experiment_id=experiment_id)["experiment"]
            if experiment["lifecycle_stage"] != _DELETED:
                self._bury(experiment)
        except NotFound:
            return

    def ensure_run(
        self,
        experiment_id: str,
        training_id: str,
        name: str,
        hyperparameters: Mapping[str, object],
        tags: Mapping[str, str],
        description: str = "",
    ) -> str:
        """Return the id of this training's run, RUNNING and with its parameters: found by its tag, else made.

        A run that was found keeps its status and is restored if it was deleted in MLflow.
        """
        run = self._run_of(experiment_id, training_id)
        if run is None:
            given = dict(tags) | {TRAINING_TAG: training_id} | ({DESCRIPTION_TAG: description} if description else {})
            body = {
                "experiment_id": experiment_id,
                "run_name": name,
                "start_time": _milliseconds(None),
                "tags": pairs(given, LONGEST_TAG),
            }
            run = self._rest.post("runs/create", body)["run"]
        elif run["info"]["lifecycle_stage"] == _DELETED:
            self._rest.post("runs/restore", {"run_id": run["info"]["run_id"]})
        run_id = str(run["info"]["run_id"])
        for batch in batches(pairs(hyperparameters, LONGEST_VALUE)):  # the same value again is fine for MLflow
            self._rest.post("runs/log-batch", {"run_id": run_id, "params": batch})
        return run_id

    def end_run(self, run_id: str, status: RunStatus, ended: datetime | None = None) -> None:
        """Set the run's status and end (default: now); a run that already has that status keeps its end."""
        if self._run(run_id)["info"]["status"] != status:
            body = {"run_id": run_id, "status": status, "end_time": _milliseconds(ended)}
            self._rest.post("runs/update", body)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; others stay."""
        for batch in batches(pairs(tags, LONGEST_TAG)):
            self._rest.post("runs/log-batch", {"run_id": run_id, "tags": batch})

    def change_run(self, run_id: str, description: str, tags: Mapping[str, str], *, gone: Iterable[str] = ()) -> None:
        """Set the description and these tags of a run, and delete those that are `gone`; others stay."""
        self.set_tags(run_id, dict(tags) | {DESCRIPTION_TAG: description})
        self._untag("runs/delete-tag", {"run_id": run_id}, gone)

    def delete_run(self, run_id: str) -> None:
        """Delete the run; one that is gone is fine."""
        try:
            self._run(run_id)
            self._rest.post("runs/delete", {"run_id": run_id})
        except NotFound:
            return

    def open_runs(self) -> Iterator[OpenRun]:
        """Return the runs of all trainings, of whichever experiments, that MLflow takes for running."""
        return open_runs(self._rest, EXPERIMENT_TAG, TRAINING_TAG)

    def log_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        """Add values to a run's metrics. A value that is there already, with its time and step, is there once."""
        for start in range(0, len(metrics), METRICS):
            batch = [metric._asdict() for metric in metrics[start : start + METRICS]]
            self._rest.post("runs/log-batch", {"run_id": run_id, "metrics": batch})

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return the last value of each of the run's metrics; it may be NaN or infinite."""
        return {metric["key"]: float(metric["value"]) for metric in self._run(run_id)["data"].get("metrics", [])}

    def _experiment_of(self, key: str) -> dict[str, Any] | None:
        body = {"filter": f"tags.`{EXPERIMENT_TAG}` = '{_id(key)}'", "max_results": 1, "view_type": "ALL"}
        found = self._rest.post("experiments/search", body).get("experiments", [])
        return found[0] if found else None

    def _adopt(self, name: str) -> dict[str, Any] | None:
        """Return the experiment that somebody else made under this name, None if the name is (now) free."""
        try:
            experiment = self._rest.get("experiments/get-by-name", experiment_name=name)["experiment"]
        except NotFound:
            return None
        if experiment["lifecycle_stage"] == _DELETED:  # only what is not deleted can be renamed
            self._rest.post("experiments/restore", {"experiment_id": experiment["experiment_id"]})
            self._bury(experiment)
            return None
        owner = next((tag["value"] for tag in experiment.get("tags", []) if tag["key"] == EXPERIMENT_TAG), None)
        if owner is not None:
            raise Rejected(f"The name {name!r} is taken in MLflow by experiment {owner}; rename or delete that there.")
        return experiment

    def _bury(self, experiment: Mapping[str, Any]) -> None:
        experiment_id, name = experiment["experiment_id"], str(experiment["name"])
        mark = f" (deleted {experiment_id})"
        if not name.endswith(mark):
            body = {"experiment_id": experiment_id, "new_name": f"{name}{mark}"}
            self._rest.post("experiments/update", body)
        self._rest.post("experiments/delete", {"experiment_id": experiment_id})

    def _tag_experiment(self, experiment_id: str, tags: Mapping[str, str]) -> None:
        for pair in pairs(tags, LONGEST_TAG):
            self._rest.post("experiments/set-experiment-tag", {"experiment_id": experiment_id, **pair})

    def _untag(self, verb: str, whose: Mapping[str, str], names: Iterable[str]) -> None:
        for name in names:
            with suppress(NotFound):
                self._rest.post(verb, {**whose, "key": key_for(name)})

    def _run_of(self, experiment_id: str, training_id: str) -> dict[str, Any] | None:
        body = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{TRAINING_TAG}` = '{_id(training_id)}'",
            "run_view_type": "ALL",
            "order_by": ["attributes.start_time ASC"],  # should there ever be two, the same one counts for everybody
            "max_results": 1,
        }
        found = self._rest.post("runs/search", body).get("runs", [])
        return found[0] if found else None

    def _run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self._rest.get("runs/get", run_id=run_id)["run"]
        if run["info"]["lifecycle_stage"] == _DELETED:
            raise NotFound(f"Run {run_id} was deleted in MLflow; restore it there if it should go on.")
        return run


def _id(text: str) -> str:
    """Check an id of ours before it stands in a filter."""
    if not _ID.fullmatch(text):
        raise Rejected(f"{text!r} is no id: letters, digits, '_' and '-', at most 64.")
    return text


def _milliseconds(moment: datetime | None) -> int:
    return round((time.time() if moment is None else moment.timestamp()) * 1000)
