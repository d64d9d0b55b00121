"""How long one look of `reconcile` takes at very many living trainings, and how much memory.

Makes a database of records with so many trainings that run and beat, and one with a tenth of them, starts a real
Prefect server that knows as many runs, and looks at each as the controller does every two seconds. Beside it the same
rows are read plainly, with the database's own module: the ratio says what the look adds, however busy the machine is.

    .venv/bin/python benchmarks/reconcile.py --trainings 10000 --looks 5 --json result.json
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
import tenacity
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, update

from blocks.hosts.loopback import free_ports
from blocks.platform import Platform
from blocks.records.tables import Attempt, Experiment, Training, now
from blocks.records.words import ExperimentState, Phase, TrainingState
from blocks.settings import Ports, Settings
from deployments.one_machine.environment import CHECKOUT, prefect_server, process_environment
from deployments.one_machine.parts import all_parts

SECONDS = 120.0
REQUEST = {"hyperparameters": {f"parameter-{n}": "0.001" for n in range(50)}, "instance_count": 1}
PLAIN = (
    "SELECT a.id, a.training_id, a.number, t.state, t.wish, a.token_hash, a.flow_run_id, a.progress, a.granted_at,"
    " a.submitted_at, a.beat_at, a.ended_at FROM attempts a JOIN trainings t ON t.id = a.training_id"
    " WHERE a.ended_at IS NULL ORDER BY a.id"
)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--trainings", type=int, default=10_000, help="that live; and a tenth of them beside it")
    parser.add_argument("--looks", type=int, default=5, help="of which the median is told")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)  # of a process that only looks
    options = parser.parse_args()
    if options.home:
        print(json.dumps(looks(options.home, options.looks)))
        return
    with tempfile.TemporaryDirectory(prefix="emf-benchmark-") as folder:
        result = [
            measured(Path(folder), count, options.looks) for count in (options.trainings // 10, options.trainings)
        ]
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


def measured(folder: Path, count: int, times: int) -> dict[str, Any]:
    """Return the figures for so many trainings: of a process of their own, so that its memory is that of the look."""
    settings = Settings(home=folder / str(count), ports=Ports(prefect=free_ports(1)))
    (settings.home / "prefect").mkdir(parents=True)
    with prefect(settings) as client:
        fill(settings, client, count)
        environ = os.environ | {"PREFECT_API_URL": settings.prefect_api_url, "EMF_HOME": str(settings.home)}
        command = [sys.executable, __file__, "--home", str(settings.home), "--looks", str(times)]
        done = subprocess.run(command, env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=True)
        return {"trainings": count, **json.loads(done.stdout)}


@contextmanager
def prefect(settings: Settings) -> Iterator[httpx.Client]:
    """Start Prefect's server as the platform does; yield a line to its API."""
    command = next(part.command for part in all_parts(settings) if part.name == "prefect")
    environ = process_environment(settings, "prefect", os.environ) | prefect_server(settings)
    with (settings.home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=settings.prefect_api_url, timeout=60, trust_env=False) as client:
            deadline = time.monotonic() + SECONDS
            while not answers(client):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"Prefect did not answer in {SECONDS:g} s: {(settings.home / 'log').read_text()}")
                time.sleep(0.2)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def answers(client: httpx.Client) -> bool:
    """Say whether the server is there."""
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def fill(settings: Settings, client: httpx.Client, count: int) -> None:
    """Make so many trainings that run, each with its attempt and its run in Prefect."""
    flow = post(client, "/flows/", {"name": "train"})
    run = post(client, "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}})
    runs = [run, *copies(settings.home / "prefect" / "prefect.db", run, count - 1)]
    platform, moment = Platform(settings), now()
    platform.records.migrate()
    ids = [f"tr-{uuid4().hex[:12]}" for _ in range(count)]
    shared: dict[str, Any] = {"experiment_id": "ex-1", "request": REQUEST, "request_digest": "", "state": "RUNNING"}
    held: dict[str, Any] = {"number": 1, "phase": Phase.RUNNING, "token_hash": "0" * 64, "memory_bytes": 2**30}
    at = dict.fromkeys(("granted_at", "submitted_at", "beat_at", "running_at"), moment)
    with platform.records.writing() as session:
        session.execute(insert(Experiment), [{"id": "ex-1", "name": "many", "state": ExperimentState.ACTIVE}])
        kinds = {"image": "pytorch-2.13-cpu-py311", "instance_type": "cpu.small", "state": TrainingState.RUNNING}
        session.execute(insert(Training), [shared | kinds | {"id": one, "name": one} for one in ids])
        each = zip(ids, runs, strict=True)
        attempts = [held | at | {"id": f"{one}-a1", "training_id": one, "flow_run_id": run} for one, run in each]
        session.execute(insert(Attempt), attempts)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(httpx.HTTPStatusError),  # its database is locked for a moment
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
    reraise=True,
)
def post(client: httpx.Client, path: str, body: dict[str, Any]) -> str:
    """Make something in Prefect; return its id."""
    return client.post(path, json=body).raise_for_status().json()["id"]


def copies(file: Path, run: str, count: int) -> list[str]:
    """Copy a run, with its state, in Prefect's own database: its API takes a tenth of a second for each."""
    ids = [(str(uuid4()), str(uuid4())) for _ in range(count)]
    with closing(sqlite3.connect(file, timeout=60)) as database, database:
        database.row_factory = sqlite3.Row
        known = dict(database.execute("SELECT * FROM flow_run WHERE id = ?", [run]).fetchone())
        state = dict(database.execute("SELECT * FROM flow_run_state WHERE id = ?", [known["state_id"]]).fetchone())
        for table, like in (("flow_run", known), ("flow_run_state", state)):
            of_run = table == "flow_run"
            rows = [like | ({"id": a, "state_id": b} if of_run else {"id": b, "flow_run_id": a}) for a, b in ids]
            columns = ", ".join(f'"{name}"' for name in like)
            places = ", ".join("?" * len(like))
            database.executemany(
                f"INSERT INTO {table} ({columns}) VALUES ({places})", [tuple(row.values()) for row in rows]
            )
    return [one for one, _ in ids]


def looks(home: Path, times: int) -> dict[str, float]:
    """Look so many times, each just after every attempt has beaten; return medians of what that took."""
    from blocks.pools.runs import Runs
    from flows.reconcile.rounds import reconcile

    platform, runs, since = Platform(Settings(home=home)), Runs(), now() - timedelta(hours=1)
    seconds, bytes_grown, plain = list[float](), list[int](), list[float]()
    for number in range(times + 1):
        with platform.records.writing() as session:
            session.execute(update(Attempt).values(beat_at=now()))
        before, began = fresh_peak(), time.perf_counter()
        found = reconcile(platform, runs, listening_since=since).found
        took, grown = time.perf_counter() - began, peak() - before
        if found:
            raise SystemExit(f"Something was found where all is well: {found[0]}")
        if number:  # number 0 loads what the others find loaded
            seconds.append(took)
            bytes_grown.append(grown)
            plain.append(read_plainly(home / "records.db"))
    return {"seconds": median(seconds), "plain_seconds": median(plain), "bytes": max(bytes_grown)}


def read_plainly(file: Path) -> float:
    """Return the seconds that the database's own module needs for the same rows."""
    began = time.perf_counter()
    with sqlite3.connect(file) as connection:
        connection.execute(PLAIN).fetchall()
    return time.perf_counter() - began


def fresh_peak() -> int:
    """Return the memory that this process has resident, in bytes, and let its peak begin from there (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak() -> int:
    """Return the most memory that this process has had resident since then, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def show(result: list[dict[str, Any]]) -> None:
    """Print the figures."""
    table = Table("trainings", "seconds", "plain read", "ratio", "peak memory", title="one look", title_justify="left")
    for column in table.columns:
        column.justify = "right"
    for one in result:
        ratio, grown = one["seconds"] / one["plain_seconds"], one["bytes"] / 2**20
        seconds = (f"{one['seconds']:.3f}", f"{one['plain_seconds']:.3f}")
        table.add_row(str(one["trainings"]), *seconds, f"{ratio:.1f}", f"+{grown:.1f} MiB")
    Console().print(table)


if __name__ == "__main__":
    main()
