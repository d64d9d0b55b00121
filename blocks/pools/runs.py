"""Prefect's runs of what ends: submitted once, observed, cancelled; Prefect's errors become ours here."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Crashed

from blocks.pools.errors import NotDeployed, PrefectAway

DEPLOYMENT = "train/easymaker"


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
            state = run.state
            return Observed(state.type.value, state.message or "") if state else Observed("PENDING", "")

    def cancel(self, flow_run_id: str, message: str) -> None:
        """Ask Prefect to cancel a run; one that has not started is cancelled at once."""
        with self._client() as client:
            client.set_flow_run_state(UUID(flow_run_id), Cancelling(message=message))

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
            raise PrefectAway(f"Prefect answered {error.response.status_code}: {error.response.text[:200]}") from error
        except httpx.TransportError as error:
            raise PrefectAway(f"Prefect's server does not answer: {error!r}") from error


def deployment_of(pool: str) -> str:
    """Return the deployment of `train` for a pool; the default pool's carries the plain name."""
    return DEPLOYMENT if pool == "process" else f"{DEPLOYMENT}-{pool}"
