"""The flows from Python: each as a plain function that answers or raises, against the platform of `EMF_HOME`.

from flows import api
training = api.create_training(name="digits", experiment="digits", …)
training = api.wait_for(training["id"], seconds=600)
"""

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from blocks import settings
from blocks.catalogue.catalogue import Image, InstanceType
from blocks.errors import Permanent
from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.pools.errors import PrefectAway
from blocks.pools.machine import this_machine
from blocks.proxies import exceptions
from flows.experiment import reading as experiments
from flows.faults import ABSENT, Fault, Refused, choices
from flows.training import reading as trainings
from flows.training.check import check
from flows.utf8 import utf8_faults

POLL_SECONDS = 0.5
Board = Literal["trainings", "experiments", "reconcile"]


class TookTooLong(Permanent):
    """A training had not ended when the time to wait was over."""


def create_experiment(**parameters: Any) -> dict[str, Any]:
    """Create an experiment; see the flow `create-experiment` for the parameters. Raises `Refused` with every fault."""
    from flows.experiment.flow import create_experiment as flow

    return call(flow, parameters)


def create_training(**parameters: Any) -> dict[str, Any]:
    """Create a training; see the flow `create-training` for the parameters. Raises `Refused` with every fault."""
    from flows.training.flow import create_training as flow

    if parameter_faults(flow, parameters):
        # The check knows every field, so that these faults come together with all others.
        request = {key: value for key, value in parameters.items() if key != "request_key"}
        check(Platform(), request, this_machine(), parameters.get("request_key", ""))
    return call(flow, parameters)


def copy_training(training: str, request_key: str = "", **changes: Any) -> dict[str, Any]:
    """Train again with every setting of a training, those given here changed."""
    from flows.training.flow import copy_training as flow

    return call(flow, {"training": training, "changes": changes, "request_key": request_key})


def change_training(training: str, **parameters: Any) -> dict[str, Any]:
    """Change description and tags of a training; see the flow `change-training` for the parameters."""
    from flows.training.flow import change_training as flow

    return call(flow, {"training": training} | parameters)


def stop_training(training: str) -> dict[str, Any]:
    """Ask a training to stop; see `wait_for` to wait until it has."""
    from flows.training.flow import stop_training as flow

    return call(flow, {"training": training})


def delete_training(training: str) -> str:
    """Delete a training that has ended."""
    from flows.training.flow import delete_training as flow

    return call(flow, {"training": training})


def change_experiment(experiment: str, **parameters: Any) -> dict[str, Any]:
    """Change description and tags of an experiment; see the flow `change-experiment` for the parameters."""
    from flows.experiment.flow import change_experiment as flow

    return call(flow, {"experiment": experiment} | parameters)


def retry_experiment(experiment: str) -> dict[str, Any]:
    """Try the creation of an experiment again that failed."""
    from flows.experiment.flow import retry_experiment as flow

    return call(flow, {"experiment": experiment})


def delete_experiment(experiment: str) -> str:
    """Delete an experiment that has no trainings."""
    from flows.experiment.flow import delete_experiment as flow

    return call(flow, {"experiment": experiment})


def tensorboard(training: str = "", experiment: str = "") -> str:
    """Open TensorBoard over a training or an experiment, and return its page."""
    from flows.tensorboard.flow import tensorboard as flow

    return call(flow, {"training": training, "experiment": experiment})


def reconcile(*, dry_run: bool = False) -> dict[str, Any]:
    """Compare the records with the world and put right what differs; return what was looked at, and what did."""
    from flows.reconcile.flow import reconcile as flow

    return call(flow, {"dry_run": dry_run})


def apply_catalogue() -> int:
    """Bring the drop-downs of Prefect's forms up to date with the catalogue; return how many forms changed."""
    from flows.catalogue_forms import apply

    return apply(Platform())


# What only reads asks the records; no run is made.


def show_training(training: str) -> dict[str, Any]:
    """Return all of a training."""
    return trainings.read(Platform(), training)


def list_trainings(
    *,
    experiment: str = "",
    states: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Return a page of the trainings that match, newest first."""
    return trainings.look(Platform(), experiment, list(states), tags or {}, limit, offset)[0]


def training_logs(training: str, lines: int = 200) -> list[LogLine]:
    """Return the last lines of a training's log."""
    platform = Platform()
    return platform.logs.tail(trainings.read(platform, training)["id"], lines)


def show_experiment(experiment: str) -> dict[str, Any]:
    """Return all of an experiment."""
    return experiments.read(Platform(), experiment)


def list_experiments(*, limit: int = 50, offset: int = 0) -> list[dict[str, Any]]:
    """Return a page of the experiments, newest first."""
    return experiments.look(Platform(), limit, offset)[0]


def images() -> Sequence[Image]:
    """Return the images that trainings can run in."""
    return Platform().catalogue.images


def instance_types() -> Sequence[InstanceType]:
    """Return the instance types."""
    return Platform().catalogue.instance_types


def board(name: Board = "trainings") -> str:
    """Return the page of a board in Prefect's UI; before the first is published, the page where all will be."""
    import httpx

    where = settings.load()
    wanted = {"artifacts": {"key": {"any_": [name]}}, "sort": "ID_DESC", "limit": 1}
    try:
        answer = httpx.post(f"{where.prefect_api_url}/artifacts/filter", json=wanted, timeout=10, trust_env=False)
        found = answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise _away(where) from error
    return f"{where.prefect_url}/v2/artifacts/" + (f"artifact/{found[0]['id']}" if found else f"key/{name}")


def wait_for(
    training: str, *, seconds: float, tell: Callable[[dict[str, Any]], None] = lambda _found: None
) -> dict[str, Any]:
    """Wait until a training has ended, and return all of it.

    Args:
        training: its name or id.
        seconds: how long to wait at most.
        tell: called with what is known of it, twice a second.

    Raises:
        TookTooLong: it has not ended by then; it goes on.
    """
    end = time.monotonic() + seconds
    while True:
        found = show_training(training)
        tell(found)
        if found["state"] in trainings.ENDED:
            return found
        if time.monotonic() > end:
            raise TookTooLong(f"The training {training} is still {found['state']} after {seconds:g} s; it goes on.")
        time.sleep(POLL_SECONDS)


def call(flow: Any, parameters: dict[str, Any]) -> Any:
    """Run a control flow here, as a run of the platform's Prefect, and return what it answers.

    Raises:
        Refused: the request is wrong; `faults` says all that is.
        Permanent, Temporary: it could not be done; the message says why.
    """
    if faults := parameter_faults(flow, parameters):
        raise Refused(faults)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(flow, parameters)
    with ThreadPoolExecutor(1) as beside:  # a notebook's cell runs in a loop already
        return beside.submit(_run, flow, parameters).result()


def _run(flow: Any, parameters: dict[str, Any]) -> Any:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    from blocks.pools.runs import refusal

    try:
        return asyncio.run(flow(**parameters))
    except PrefectHTTPStatusError as error:
        raise refusal(error.response.status_code, error.response.text) from error
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):  # Prefect has no class for it
            raise
        raise _away(settings.load()) from error


def _away(where: settings.Settings) -> PrefectAway:
    does = "`emf status` shows which parts run, `emf up` starts the others."
    return PrefectAway(f"Prefect does not answer at {where.prefect_api_url}. {does}")


def parameter_faults(flow: Any, parameters: dict[str, Any]) -> list[Fault]:
    """Return why no run can be made with these parameters: a name is unknown or missing, a text cannot be sent."""
    known = inspect.signature(flow.fn).parameters
    unknown = [
        Fault(name, value, "there is no such parameter", choices(name, list(known)))
        for name, value in parameters.items()
        if name not in known
    ]
    missing = [name for name, p in known.items() if p.default is p.empty and name not in parameters]
    return unknown + [Fault(name, ABSENT, "is missing", "Give it.") for name in missing] + utf8_faults(parameters)


def connect() -> None:
    """Point this process's Prefect at the platform of `EMF_HOME`, with no proxy between; before Prefect is imported."""
    os.environ["PREFECT_API_URL"] = settings.load().prefect_api_url
    os.environ.update(exceptions(os.environ))
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # its log is kept by the server


connect()
