"""MLflow behind our own words: experiments and runs."""

from blocks.tracking.tracking import RunStatus, Tracking

__all__ = ["RunStatus", "Tracking"]
