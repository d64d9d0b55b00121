"""The runs of ours that MLflow takes for running, over all experiments, page by page."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from blocks.tracking.rest import Rest

PAGE = 1000  # the most that MLflow tells of at once
EXPERIMENTS = 100  # in one question


class OpenRun(NamedTuple):
    """A run that MLflow takes for running, and the training that it is of."""

    run_id: str
    training_id: str
    started_at: datetime


def open_runs(rest: "Rest", experiment_tag: str, training_tag: str) -> Iterator[OpenRun]:
    """Return every run with our tag, in an experiment with our tag, whose status is RUNNING; deleted ones are not."""
    mine = {"filter": f"tags.`{experiment_tag}` LIKE '%'", "view_type": "ACTIVE_ONLY"}
    ids = [str(one["experiment_id"]) for one in _found(rest, "experiments", mine)]
    for start in range(0, len(ids), EXPERIMENTS):
        running = f"attributes.status = 'RUNNING' AND tags.`{training_tag}` LIKE '%'"
        some = {"experiment_ids": ids[start : start + EXPERIMENTS], "filter": running, "run_view_type": "ACTIVE_ONLY"}
        for run in _found(rest, "runs", some):
            tags = {tag["key"]: str(tag["value"]) for tag in run["data"]["tags"]}
            started_at = datetime.fromtimestamp(run["info"]["start_time"] / 1000, UTC)
            yield OpenRun(str(run["info"]["run_id"]), tags[training_tag], started_at)


def _found(rest: "Rest", kind: str, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    token = ""
    while True:
        body = {**wanted, "max_results": PAGE} | ({"page_token": token} if token else {})
        answer = rest.post(f"{kind}/search", body)
        yield from answer.get(kind, [])
        token = str(answer.get("next_page_token") or "")
        if not token:
            return
