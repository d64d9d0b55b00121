"""What every control flow shares: it is short, it answers readably, and only what may help is tried again.

A control flow that is refused ends Failed with a message for the person who asked, and the same as a page among its
artifacts; never with a traceback.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.flows import Flow
from prefect.logging import get_run_logger
from prefect.states import Failed
from prefect.tasks import Task, exponential_backoff

from blocks.errors import Permanent, Temporary
from flows.decided import Decided
from flows.faults import Refused, to_markdown
from flows.markdown import fenced
from flows.plain_log import log_plainly


class _NoAccident(logging.Filter):
    """Keeps the traceback of an end that was decided on out of a run's log: Prefect takes it for an accident."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, Decided | Refused | Permanent | Temporary)


def leave_out_decided() -> None:
    """See that the logs of runs in this process leave such tracebacks out."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(known, _NoAccident) for known in logger.filters):
            logger.addFilter(_NoAccident())


leave_out_decided()

P = ParamSpec("P")
R = TypeVar("R")


def control_flow(name: str) -> Callable[[Callable[P, Awaitable[Any]]], Flow[P, Any]]:
    """Make an async function the flow of that name; the first lines of its docstring describe it in Prefect's UI."""

    def wrap(function: Callable[P, Awaitable[Any]]) -> Flow[P, Any]:
        @functools.wraps(function)
        async def answered(*args: P.args, **kwargs: P.kwargs) -> Any:
            log_plainly()  # a process of the control pool knows the address of the records, with its password
            try:
                return await function(*args, **kwargs)
            except Refused as error:
                await show(f"### Refused, nothing was made\n\n{to_markdown(error.faults)}")
                return Failed(message=str(error), data=error)
            except (Permanent, Temporary) as error:
                await show(f"### Not done\n\n{fenced(str(error))}")
                return Failed(message=str(error), data=error)

        # Parameters are checked by the flow's own first task: all faults at once, in the person's words.
        return flow(name=name, validate_parameters=False)(answered)

    return wrap


def verb(function: Callable[P, R]) -> Task[P, R]:
    """Make a function a task that is tried again, with growing jittered delays, as long as that may help."""
    return task(
        retries=4,
        retry_delay_seconds=exponential_backoff(backoff_factor=1),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_temporary,
        cache_policy=NO_CACHE,
    )(function)


def is_temporary(_task: Task[..., Any], _run: TaskRun, state: State) -> bool:
    """Say whether the other side was away or busy; a refusal is final."""
    error = state.data
    return isinstance(error, Temporary) or isinstance(getattr(error, "result", None), Temporary)


async def show(markdown: str, *, key: str | None = None, description: str | None = None) -> None:
    """Put a page among the run's artifacts; what is only shown never fails what was done."""
    try:
        await acreate_markdown_artifact(markdown=markdown, key=key, description=description)
    except Exception:  # noqa: BLE001 (whatever Prefect's client raises)
        get_run_logger().warning("The page of this run could not be put among its artifacts.", exc_info=True)
