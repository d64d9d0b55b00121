"""Prefect's runs of what ends: submitted once, observed, closed; Prefect's errors become ours here.

All is asked once, and soon given up: Prefect's client would ask a server that hangs again and again, for minutes, where
who calls asks again within seconds anyway. What is only looked at goes over a line of its own, for that client takes a
tenth of a second to make.
"""

import itertools
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Crashed

from blocks.errors import BlockError
from blocks.pools.errors import NotDeployed, PrefectAway, RunRefused
from blocks.proxies import is_loopback
from blocks.run_states import OVER

FLOW = "train"
DEPLOYMENT = f"{FLOW}/easymaker"
PAGE = 200  # the most runs that Prefect's server tells of at once
LOOK_SECONDS = 5.0  # a third of a lease: who waits for Prefect finds no death meanwhile
WRITE_SECONDS = 10.0  # a server that is only slow has done it by then, or is found to have when it is asked again
# Below 500 as well: a time-out, a database that is locked, too many requests.
ASK_AGAIN = frozenset({408, 409, 423, 425, 429})


@dataclass(frozen=True)
class Observed:
    """What Prefect says of a run: its state's type (`RUNNING`, `CANCELLING`, …) and message, and since when."""

    state: str
    message: str
    since: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether Prefect takes it for ended."""
        return self.state in OVER


@dataclass(frozen=True)
class Unfinished:
    """A run that Prefect takes for alive or to come.

    Attributes:
        attempt_id: of the attempt that its parameters name; "" where they name none.
    """

    flow_run_id: str
    state: str
    attempt_id: str
    created_at: datetime


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

        The `env` of the job variables is the run's environment as well, but for what stands in `environment`.

        Raises:
            NotDeployed: `train` is not deployed to that pool.
            RunRefused: Prefect does not take these job variables or parameters.
            PrefectAway: the server does not answer; ask again.
        """
        variables = with_environment(job_variables, environment)
        with self._client() as client:
            deployment = client.read_deployment_by_name(deployment_of(pool))
            run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters=dict(parameters),
                name=name,
                tags=tags,
                idempotency_key=attempt_id,
                job_variables=variables,
            )
            return str(run.id)

    def observe(self, flow_run_id: str) -> Observed | None:
        """Return what Prefect knows of a run, or None where it has none of that id."""
        return self.states([flow_run_id]).get(flow_run_id)

    def states(self, flow_run_ids: Collection[str]) -> dict[str, Observed]:
        """Return what Prefect knows of these runs, by their ids; one that is not among them it does not know.

        Raises:
            PrefectAway: the server does not answer; ask again.
        """
        known = sorted(filter(_is_uuid, set(flow_run_ids)))  # one that is none would spoil the question for all
        found: dict[str, Observed] = {}
        for start in range(0, len(known), PAGE):
            page = self._page({"flow_runs": {"id": {"any_": known[start : start + PAGE]}}})
            found |= {run["id"]: _observed(run) for run in page}
        return found

    def cancelled(self, since: datetime) -> dict[str, Observed]:
        """Return the runs of `train` that are being cancelled, and those that were cancelled since then, by their ids.

        Raises:
            PrefectAway: the server does not answer; ask again.
        """
        wanted = (
            {"state": {"type": {"any_": ["CANCELLING"]}}},
            {"state": {"type": {"any_": ["CANCELLED"]}}, "end_time": {"after_": since.isoformat()}},
        )
        return {run["id"]: _observed(run) for one in wanted for page in self._pages(one) for run in page}

    def unfinished(self) -> Iterator[list[Unfinished]]:
        """Return every run of `train` that has not ended, page by page.

        Raises:
            PrefectAway: the server does not answer; ask again.
        """
        for page in self._pages({"state": {"type": {"not_any_": sorted(OVER)}}}):
            yield [_unfinished(run) for run in page]

    def close(self, flow_run_id: str, message: str, *, cancelled: bool) -> None:
        """Put a dead run into a final state, so that Prefect's pages tell the truth; one that was deleted is closed."""
        state = Cancelled(message=message) if cancelled else Crashed(message=message)
        with self._client() as client, suppress(ObjectNotFound):
            client.set_flow_run_state(UUID(flow_run_id), state, force=True)

    def _pages(self, wanted: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """Return the runs of `train` that are wanted, page by page, the newest first."""
        for offset in itertools.count(0, PAGE):
            page = self._page({"flows": {"name": {"any_": [FLOW]}}, "flow_runs": wanted, "offset": offset})
            yield page
            if len(page) < PAGE:
                return

    def _page(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = self._line.post("/flow_runs/filter", json={"sort": "ID_DESC", "limit": PAGE, **query})
            if answer.is_success:
                return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PrefectAway(f"Prefect's server does not answer: {error!r}") from error
        raise refusal(answer.status_code, answer.text)

    @cached_property
    def _line(self) -> httpx.Client:
        """A line to Prefect's API that stays open; threads may share it."""
        url = PREFECT_API_URL.value() or ""
        return httpx.Client(base_url=url, timeout=LOOK_SECONDS, trust_env=not is_loopback(url))

    @contextmanager
    def _client(self) -> Generator[SyncPrefectClient]:
        try:
            with connected() as client:
                yield client
        except ObjectNotFound as error:
            raise NotDeployed(
                "`train` is not deployed to the pool of this instance type: `emf up` deploys the flows."
            ) from error
        except PrefectHTTPStatusError as error:
            raise refusal(error.response.status_code, error.response.text) from error
        except httpx.TransportError as error:
            raise PrefectAway(f"Prefect's server does not answer: {error!r}") from error


@contextmanager
def connected() -> Generator[SyncPrefectClient]:
    """Open a client of Prefect that asks once, and not for long; its errors are Prefect's and httpx's own."""
    once = temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0})
    with once, get_client(httpx_settings={"timeout": WRITE_SECONDS}, sync_client=True) as client:
        yield client


def with_environment(job_variables: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return job variables whose `env` is an instance type's own, and ours above it.

    Raises:
        RunRefused: theirs is no mapping of names and values.
    """
    theirs: object = job_variables.get("env") or {}
    if not isinstance(theirs, Mapping):
        kind = type(theirs).__name__  # what is in it may be a key
        raise RunRefused(f"`env` in the job_variables of an instance type must be names and values, not a {kind}.")
    return {**job_variables, "env": {**cast("Mapping[str, Any]", theirs), **environment}}


def refusal(status: int, text: str) -> BlockError:
    """Return the error for what Prefect answered: whether asking again may help is in its type."""
    kind = PrefectAway if status >= 500 or status in ASK_AGAIN else RunRefused
    return kind(f"Prefect answered {status}: {text[:200]}")


def _observed(run: Mapping[str, Any]) -> Observed:
    state: Mapping[str, Any] = run["state"] or {"type": "PENDING"}
    since = datetime.fromisoformat(state["timestamp"]) if state.get("timestamp") else None
    return Observed(state["type"], state.get("message") or "", since)


def _unfinished(run: Mapping[str, Any]) -> Unfinished:
    parameters: Mapping[str, Any] = run["parameters"] or {}
    training_id, attempt = parameters.get("training_id"), parameters.get("attempt")
    attempt_id = f"{training_id}-a{attempt}" if training_id and attempt else ""
    created_at = datetime.fromisoformat(run["created"])
    return Unfinished(run["id"], _observed(run).state, attempt_id, created_at)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def deployment_of(pool: str) -> str:
    """Return the deployment of `train` for a pool; the default pool's carries the plain name."""
    return DEPLOYMENT if pool == "process" else f"{DEPLOYMENT}-{pool}"
