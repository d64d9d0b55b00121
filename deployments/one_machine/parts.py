"""The parts of the platform on one machine: what each runs, where it listens, how one asks whether it is well.

The order is that of starting; stopping goes the other way.
"""

import sys
from dataclasses import dataclass, field

from blocks.settings import LOOPBACK, Settings
from deployments.one_machine import environment

POOLS = ("control", "process")


@dataclass(frozen=True, slots=True)
class Part:
    """One program under supervisord.

    Attributes:
        name: what the operator sees, and the value of EMF_PART in its processes.
        port: the field of `settings.ports` it listens on, "" for none.
        page: what a person opens, "" if there is nothing to see.
        health: the URL that answers 200 when it is well; a worker has `pool` instead and is asked for at Prefect.
        stage: 0 starts at once; 1 starts when Prefect answers.
        secrets: the secrets in its environment: few, and none where users' code runs beside it.
        stop_seconds: from SIGTERM to SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    port: str = ""
    page: str = ""
    health: str = ""
    pool: str = ""
    stage: int = 0
    secrets: tuple[str, ...] = ()
    stop_seconds: int = 15
    environment: dict[str, str] = field(default_factory=dict[str, str])


def all_parts(settings: Settings) -> tuple[Part, ...]:
    """Return every part, in the order of starting."""
    return (_object_store(settings), _prefect(settings), _mlflow(settings), _controller(settings), *_workers())


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _listen(port: int) -> tuple[str, ...]:
    return ("--host", LOOPBACK, "--port", str(port))


def _object_store(settings: Settings) -> Part:
    return Part(
        name="object_store",
        command=_python("deployments.one_machine.object_store"),
        port="object_store",
        health=f"http://{settings.object_store_endpoint}/healthcheck",
        secrets=("EMF_OBJECT_STORE_ACCESS_KEY", "EMF_OBJECT_STORE_SECRET_KEY", "EMF_SWIFT_HASH_SUFFIX"),
    )


def _prefect(settings: Settings) -> Part:
    return Part(
        name="prefect",
        command=_python("deployments.one_machine.prefect_server"),
        port="prefect",
        page=settings.prefect_url,
        health=f"{settings.prefect_api_url}/health",
        environment=environment.prefect_server(settings),
    )


def _mlflow(settings: Settings) -> Part:
    return Part(
        name="mlflow",
        command=_python("uvicorn", "mlflow.server.fastapi_app:app", "--no-access-log", *_listen(settings.ports.mlflow)),
        port="mlflow",
        page=settings.mlflow_url,
        # `/health` answers before the tables are there: a real question is the only one that tells.
        health=f"{settings.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1",
        environment=environment.mlflow(settings.home / "mlflow"),
    )


def _controller(settings: Settings) -> Part:
    return Part(
        name="controller",
        command=_python("flows.controller"),
        port="controller",
        health=f"{settings.controller_url}/health",
        stage=1,
        secrets=("EMF_CLAIM_SECRET", "EMF_RECORDS_URL"),
    )


def _workers() -> tuple[Part, ...]:
    return tuple(
        Part(
            name=f"worker-{pool}",
            command=_python(
                "prefect", "worker", "start", "--type", "process", "--pool", pool, "--name", f"worker-{pool}"
            ),
            pool=pool,
            stage=1,
            secrets=("EMF_RECORDS_URL",) if pool == "control" else (),
            stop_seconds=90 if pool == "process" else 60,  # its runs have a script to end and folders to clear
            environment=environment.PREFECT_WORKER,
        )
        for pool in POOLS
    )
