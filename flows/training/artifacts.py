"""What a run shows among its artifacts in Prefect: how far it is, and how it ended. What is only shown never fails."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from flows.training import board
from flows.training.ends.verdict import Evidence


def progress(what: str) -> Callable[[str, float], None]:
    """Return what shows how far something is, from 0 to 1, at most once a second for each of its parts."""
    shown: dict[str, float] = {}
    artifact: Any = None
    with suppress(Exception):
        artifact = create_progress_artifact(progress=0.0, description=what)

    def tell(part: str, share: float) -> None:
        now = time.monotonic()
        if artifact is not None and (share >= 1.0 or now - shown.get(part, 0.0) > 1.0):
            shown[part] = now
            with suppress(Exception):
                update_progress_artifact(artifact, progress=share * 100, description=f"{what}: {part}")

    return tell


def show_end(evidence: Evidence, answer: dict[str, str]) -> None:
    """Show exit code, reason and last lines."""
    with suppress(Exception):
        page = board.end_page(evidence, answer["state"], answer["message"])
        create_markdown_artifact(markdown=page, description="How it ended")
