"""TensorBoard as something that stays up: where its files are, open it, say where it is, close it."""

import time
from pathlib import Path

from blocks.hosts.errors import HostAway
from blocks.hosts.service import Service, State
from blocks.platform import Platform
from blocks.pools.environments import IMAGES, Environments
from blocks.records import services
from blocks.settings import LOOPBACK

PORTS = 100
READY_SECONDS = 90.0


def folder(home: Path, experiment_id: str, training_name: str, training_id: str) -> Path:
    """Return the mirror of a training's TensorBoard files: the folder's name is what TensorBoard calls the run."""
    return home / "tensorboard" / experiment_id / f"{training_name}-{training_id[-6:]}"


def service_name(resource_id: str) -> str:
    """Return the deterministic name of the TensorBoard of an experiment or a training."""
    return f"tensorboard-{resource_id}"


def start(platform: Platform, resource_id: str, log_folder: Path) -> str:
    """Open TensorBoard over a folder and return its page; one that is open already is the same one.

    Raises:
        HostAway: it did not answer in time.
    """
    where = platform.settings
    name, first = service_name(resource_id), where.ports.tensorboard_first
    with platform.records.writing() as session:
        port = services.reserve(session, name, "tensorboard", resource_id, range(first, first + PORTS)).port
    log_folder.mkdir(parents=True, exist_ok=True)
    python = Environments(where.home).ensure("tensorboard")
    script = IMAGES / "tensorboard" / "serve.py"
    command = [str(python), str(script), "--logdir", str(log_folder), "--port", str(port)]
    command += ["--idle-minutes", f"{where.tensorboard_idle_minutes:g}"]
    service = Service(name=name, command=command, environment={}, port=port, health_path="/", restart=True)
    platform.host.apply(service)
    deadline = time.monotonic() + READY_SECONDS
    while not platform.host.healthy(service):
        if time.monotonic() > deadline or platform.host.observe(name).state == State.FAILED:
            raise HostAway(f"TensorBoard did not answer on port {port}: {platform.host.observe(name).detail}")
        time.sleep(0.3)
    return address(port)


def address(port: int) -> str:
    """Return the page of a TensorBoard."""
    return f"http://{LOOPBACK}:{port}/"


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
    return address(row.port) if is_open else ""


def close(platform: Platform, resource_id: str) -> None:
    """Close it and give its port back; one that is not open is closed."""
    name = service_name(resource_id)
    with platform.records.reading() as session:
        known = services.lookup(session, name) is not None
    if not known:
        return
    platform.host.delete(name)
    with platform.records.writing() as session:
        services.forget(session, name)


def pages(platform: Platform) -> dict[str, str]:
    """Return the pages of all open TensorBoards, by whom they serve."""
    with platform.records.reading() as session:
        known = services.all_of(session, "tensorboard")
    try:
        return {
            row.resource_id: address(row.port)
            for row in known
            if platform.host.observe(row.name).state == State.RUNNING
        }
    except HostAway:
        return {}
