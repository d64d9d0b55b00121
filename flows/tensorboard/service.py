"""TensorBoard as something that stays up: where its files are, open it, say where it is, close it."""

import time
from collections.abc import Callable, Collection
from pathlib import Path

from blocks.hosts.errors import HostAway
from blocks.hosts.loopback import can_bind, free_port
from blocks.hosts.service import Service, State
from blocks.platform import Platform
from blocks.pools.environments import IMAGES, Environments
from blocks.records import services
from blocks.settings import LOOPBACK
from blocks.settings import TENSORBOARDS as PORTS
from flows.tensorboard.hold import held

READY_SECONDS = 90.0
ENDED = {State.STOPPED, State.FAILED, State.ABSENT}


def folder(home: Path, experiment_id: str, training_name: str, training_id: str) -> Path:
    """Return the mirror of a training's TensorBoard files: the folder's name is what TensorBoard calls the run."""
    return home / "tensorboard" / experiment_id / f"{training_name}-{training_id[-6:]}"


def service_name(resource_id: str) -> str:
    """Return the deterministic name of the TensorBoard of an experiment or a training."""
    return f"tensorboard-{resource_id}"


def start(platform: Platform, resource_id: str, log_folder: Path, progress: Callable[[str], None] | None = None) -> str:
    """Open TensorBoard over a folder and return its page; one that is open already is the same one.

    The first one needs an environment, which takes minutes: each line of that goes to `progress`.

    Raises:
        HostAway: it did not answer in time, or somebody else opens or closes it for a minute.
        NoFreePort: every port of its range is taken.
        EnvironmentAway, EnvironmentBroken: its environment cannot be made.
    """
    python = Environments(platform.settings.home).ensure("tensorboard", progress)
    log_folder.mkdir(parents=True, exist_ok=True)
    service, port = _bring_up(platform, resource_id, python, log_folder)
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(platform, service):
        seen = platform.host.observe(service.name)
        if time.monotonic() > deadline or seen.state in (State.FAILED, State.ABSENT):
            raise HostAway(f"TensorBoard did not answer on port {port}: {seen.detail}")
        time.sleep(0.3)
    return address(service.name, port)


def _bring_up(platform: Platform, resource_id: str, python: Path, log_folder: Path) -> tuple[Service, int]:
    """Have the host run it on the port that the records hold for it; return it with that port."""
    name = service_name(resource_id)
    with held(platform.settings.home, name):
        port = _reserve(platform, resource_id)
        service = _service(platform, resource_id, python, log_folder, port)
        if not can_bind(port) and not _answers(platform, service):
            _end(platform, name)  # somebody else listens where it was before
            port = _reserve(platform, resource_id)
            service = _service(platform, resource_id, python, log_folder, port)
        platform.host.apply(service)
    return service, port


def _reserve(platform: Platform, resource_id: str) -> int:
    """Return the port that it has, or else one that nobody listens on."""
    name = service_name(resource_id)
    with platform.records.writing() as session:
        if found := services.lookup(session, name):
            return found.port
        port = free_port(platform.settings.ports.tensorboard_first, PORTS, services.ports(session))
        return services.reserve(session, name, "tensorboard", resource_id, port).port


def _service(platform: Platform, resource_id: str, python: Path, log_folder: Path, port: int) -> Service:
    name, idle = service_name(resource_id), platform.settings.tensorboard_idle_minutes
    command = [str(python), str(IMAGES / "tensorboard" / "serve.py"), "--logdir", str(log_folder), "--port", str(port)]
    command += ["--path-prefix", f"/{name}", "--idle-minutes", f"{idle:g}"]
    return Service(name=name, command=command, environment={}, port=port, health_path=f"/{name}/", restart=True)


def _answers(platform: Platform, service: Service) -> bool:
    """Say whether it runs and its own page answers: what else listens on its port has no page of that name."""
    return platform.host.observe(service.name).state == State.RUNNING and platform.host.healthy(service)


def address(name: str, port: int) -> str:
    """Return the page of a TensorBoard."""
    return f"http://{LOOPBACK}:{port}/{name}/"


def page(platform: Platform, resource_id: str) -> str:
    """Return the page of an open TensorBoard, or an empty text."""
    name = service_name(resource_id)
    with platform.records.reading() as session:
        row = services.lookup(session, name)
    if row is None:
        return ""
    try:
        is_open = platform.host.observe(name).state == State.RUNNING
    except HostAway:
        return ""
    return address(name, row.port) if is_open else ""


def close(platform: Platform, resource_id: str) -> None:
    """Close it and give its port back; one that is not open is closed.

    Raises:
        HostAway: the host does not answer, or somebody else opens or closes it for a minute.
    """
    _close(platform, service_name(resource_id), set(State))


def close_idle(platform: Platform) -> list[str]:
    """Close every TensorBoard that runs no more, so that its port is free; return whom they served.

    It ended because nobody looked, failed for good, or never came up.

    Raises:
        HostAway: the host does not answer, or somebody else opens or closes one for a minute.
    """
    with platform.records.reading() as session:
        known = services.all_of(session, "tensorboard")
    ended = [row for row in known if platform.host.observe(row.name).state in ENDED]
    return [row.resource_id for row in ended if _close(platform, row.name, ENDED)]


def _close(platform: Platform, name: str, states: Collection[State]) -> bool:
    """Close it if it is in one of these states; return whether it was open."""
    with held(platform.settings.home, name):
        with platform.records.reading() as session:
            if services.lookup(session, name) is None:
                return False
        if platform.host.observe(name).state not in states:  # it was opened again meanwhile
            return False
        _end(platform, name)
        return True


def _end(platform: Platform, name: str) -> None:
    """End it, then give its port back: whoever calls this holds its name."""
    platform.host.delete(name)
    with platform.records.writing() as session:
        services.forget(session, name)


def pages(platform: Platform) -> dict[str, str]:
    """Return the pages of all open TensorBoards, by whom they serve."""
    with platform.records.reading() as session:
        known = services.all_of(session, "tensorboard")
    try:
        return {
            row.resource_id: address(row.name, row.port)
            for row in known
            if platform.host.observe(row.name).state == State.RUNNING
        }
    except HostAway:
        return {}
