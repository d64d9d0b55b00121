"""Prefect's runs of what ends: submitted once, observed, closed; Prefect's errors become ours here."""

import itertools
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

from blocks.errors import BlockError
from blocks.pools.errors import NotDeployed, PrefectAway, RunRefused

FLOW = "train"
DEPLOYMENT = f"{FLOW}/easymaker"
PAGE = 200  # the most runs that Prefect's server tells of at once
# Below 500 as well: a time-out, a database that is locked, too many requests.
ASK_AGAIN = frozenset({408, 409, 423, 425, 429})


@dataclass(frozen=True)
class Observed:
    """What Prefect says of a run: its state's type (`RUNNING`, `CANCELLING`, …) and message."""

    state: str
    message: str

    @property
    def is_over(self) -> bool:
        """Whether Prefect takes it for ended."""
        return self.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Runs:
    """Flow runs of `train`, one an attempt."""

    def submit(
        self,
        attempt_id: str,
        parameters: Mapping[str, Any],
        *,
        name: str,
        pool: str,
        tags: list[str],
        environment: Mapping[str, str],
        job_variables: Mapping[str, Any],
    ) -> str:
        """Create the attempt's run and return its id; asked twice for one attempt, there is one run.

        Raises:
            NotDeployed: `train` is not deployed to that pool.
            RunRefused: Prefect does not take these job variables or parameters.
            PrefectAway: the server does not answer; ask again.
        """
        with self._client() as client:
            deployment = client.read_deployment_by_name(deployment_of(pool))
            run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters=dict(parameters),
                name=name,
                tags=tags,
                idempotency_key=attempt_id,
                job_variables={**job_variables, "env": dict(environment)},
            )
            return str(run.id)

    def observe(self, flow_run_id: str) -> Observed | None:
        """Return what Prefect knows of a run, or None where it has none of that id."""
        with self._client() as client:
            try:
                run = client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:
                return None
            return _observed(run)

    def unfinished(self) -> dict[str, Observed]:
        """Return every run of `train` that Prefect takes for alive or to come, by its id."""
        states = FlowRunFilterStateType(not_any_=sorted(TERMINAL_STATES))
        wanted = FlowRunFilter(state=FlowRunFilterState(type=states))
        found: dict[str, Observed] = {}
        with self._client() as client:
            for offset in itertools.count(0, PAGE):
                page = client.read_flow_runs(
                    flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
                    flow_run_filter=wanted,
                    limit=PAGE,
                    offset=offset,
                )
                found |= {str(run.id): _observed(run) for run in page}
                if len(page) < PAGE:
                    break
        return found

    def close(self, flow_run_id: str, message: str, *, cancelled: bool) -> None:
        """Put a dead run into a final state, so that Prefect's pages tell the truth."""
        state = Cancelled(message=message) if cancelled else Crashed(message=message)
        with self._client() as client:
            client.set_flow_run_state(UUID(flow_run_id), state, force=True)

    @contextmanager
    def _client(self) -> Generator[SyncPrefectClient]:
        try:
            with get_client(sync_client=True) as client:
                yield client
        except ObjectNotFound as error:
            raise NotDeployed(
                "`train` is not deployed to the pool of this instance type: `emf up` deploys the flows."
            ) from error
        except PrefectHTTPStatusError as error:
            raise refusal(error.response.status_code, error.response.text) from error
        except httpx.TransportError as error:
            raise PrefectAway(f"Prefect's server does not answer: {error!r}") from error


def refusal(status: int, text: str) -> BlockError:
    """Return the error for what Prefect answered: whether asking again may help is in its type."""
    kind = PrefectAway if status >= 500 or status in ASK_AGAIN else RunRefused
    return kind(f"Prefect answered {status}: {text[:200]}")


def _observed(run: FlowRun) -> Observed:
    return Observed(run.state.type.value, run.state.message or "") if run.state else Observed("PENDING", "")


def deployment_of(pool: str) -> str:
    """Return the deployment of `train` for a pool; the default pool's carries the plain name."""
    return DEPLOYMENT if pool == "process" else f"{DEPLOYMENT}-{pool}"
