"""The boards in Prefect's UI, kept current: one artifact each, rewritten when what it shows has changed."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.exceptions import PrefectHTTPStatusError

from blocks.platform import Platform
from blocks.pools.errors import PrefectAway
from blocks.pools.runs import connected
from flows.controller.pulse import Pulse
from flows.experiment import board as experiment_board
from flows.experiment import reading as experiments
from flows.forms import Forms
from flows.reconcile import board as reconcile_board
from flows.reconcile.report import Line, Report, repaired
from flows.training import board as training_board
from flows.training import reading as trainings

LINES = 100
NOT_FOUND = 404
PAUSE_SECONDS = 3.0
LOOK_SECONDS = 60.0


class Boards:
    """Publishes the boards; call it as often as you like."""

    def __init__(self, platform: Platform, pulse: Pulse | None = None) -> None:
        self.platform, self.forms = platform, Forms(platform.settings)
        self.pulse = pulse or Pulse()
        self._repaired: Sequence[Line] = []
        self._thorough: Report | None = None
        self._looks: Mapping[str, dict[str, Any]] = {}
        self._look_told_at = -LOOK_SECONDS
        self._shown: dict[str, str] = {}
        self._artifacts: dict[str, UUID] = {}
        self._published_at = 0.0

    def publish(self) -> None:
        """Bring every board up to date that has changed, at most every few seconds; one that fails holds up no other.

        Raises:
            PrefectAway: the server did not answer for one of them.
        """
        if time.monotonic() - self._published_at < PAUSE_SECONDS:
            return
        self._published_at = time.monotonic()
        faults: list[Exception] = []
        for key, description, render in (
            (training_board.KEY, training_board.DESCRIPTION, self._trainings),
            (experiment_board.KEY, experiment_board.DESCRIPTION, self._experiments),
            (reconcile_board.KEY, reconcile_board.DESCRIPTION, self._reconcile),
        ):
            try:
                self._publish(key, description, render)
            except Exception as error:  # noqa: BLE001 (raised once the others are published)
                faults.append(error)
        if faults:
            raise faults[0]

    def _trainings(self) -> str:
        return training_board.table(*trainings.look(self.platform, "", [], {}, LINES, 0), self.forms)

    def _experiments(self) -> str:
        return experiment_board.table(*experiments.look(self.platform, LINES, 0), self.forms)

    def _reconcile(self) -> str:
        repairs, moment = repaired(self.platform), time.monotonic()
        # The last look is told now and then, and beside what it repaired: else the board would be written all the time.
        is_due = moment - self._look_told_at >= LOOK_SECONDS or not self._looks
        if is_due or repairs != self._repaired or self.pulse.thorough is not self._thorough:
            self._repaired, self._look_told_at, self._thorough = repairs, moment, self.pulse.thorough
            looks = {"Last look": self.pulse.report, "Last thorough look": self.pulse.thorough}
            self._looks = {which: report.as_dict() for which, report in looks.items() if report}
        return reconcile_board.table(repairs, self._looks, self.forms)

    def _publish(self, key: str, description: str, render: Callable[[], str]) -> None:
        markdown = render()
        if self._shown.get(key) == markdown:
            return
        try:
            with connected() as client:
                self._write(client, key, description, markdown)
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            raise PrefectAway(f"The board {key} could not be published: {error!r}") from error
        self._shown[key] = markdown

    def _write(self, client: SyncPrefectClient, key: str, description: str, markdown: str) -> None:
        """Rewrite the board's artifact, so that a board that changes often stays one artifact."""
        if key not in self._artifacts:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.ID_DESC, limit=1
            )
            if found:
                self._artifacts[key] = found[0].id
        if key in self._artifacts:
            try:
                client.update_artifact(self._artifacts[key], ArtifactUpdate(data=markdown, description=description))
            except PrefectHTTPStatusError as error:
                if error.response.status_code != NOT_FOUND:
                    raise
                del self._artifacts[key]  # somebody has deleted it: it is made anew
            else:
                return
        made = client.create_artifact(ArtifactCreate(key=key, type="markdown", data=markdown, description=description))
        self._artifacts[key] = made.id
