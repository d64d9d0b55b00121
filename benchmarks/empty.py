"""The flow that does nothing: what Prefect itself takes to start a run and end it."""

from prefect import flow


@flow(name="benchmark-empty")
def empty() -> None:
    """Do nothing."""
