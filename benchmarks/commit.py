"""What committing checkpoints costs a training: how much slower its steps are while the keeper is at work.

The script multiplies matrices, notes when each step is done, and now and then writes a checkpoint of which one file in
four is new. The keeper runs beside it, in this process, as it does in a run: it looks, copies, hashes, uploads to the
platform's own store. Steps beside it are compared with the other steps of the same run, so that what else the machine
does tells on both.

    .venv/bin/emf up && .venv/bin/python benchmarks/commit.py --rounds 5 --json result.json
"""

import argparse
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.storage.location import parse
from flows.training.checkpoints.checkpoint import Committed
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.snapshot import Part

CONTAINER = "benchmark"
FILES = 4
SCRIPT = """
import json, os, sys, time
import numpy as np
folder, files, size, saves, seconds = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
matrix, noise = np.random.default_rng(0).normal(size=(400, 400)), np.random.default_rng(1)
steps = []
for save in range(saves):
    for number in range(files):
        if save == 0 or number == save % files:
            path = os.path.join(folder, f"layer-{number}.bin")
            with open(path + ".part", "wb") as out:
                out.write(noise.bytes(size))
            os.replace(path + ".part", path)
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        matrix = np.tanh(matrix @ matrix / 400)
        steps.append((began, time.monotonic()))
print(json.dumps(steps))
"""
Span = tuple[float, float]
"""From when to when, by the clock that all processes of a machine share."""


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256, help="MiB of a checkpoint")
    parser.add_argument("--saves", type=int, default=4, help="how many checkpoints a training writes")
    parser.add_argument("--seconds", type=float, default=15.0, help="of work after each")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    platform = Platform()
    place = parse(platform.settings.obs(CONTAINER, "commit/"))
    platform.storage.ensure_container(place)
    python = Environments(platform.settings.home).ensure("pytorch", print)
    words = [str(FILES), str(options.mib * 2**20 // FILES), str(options.saves), str(options.seconds)]
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds + 1):
        one = watched(platform, python, words)
        print(
            f"{number}/{options.rounds}: " + ", ".join(f"{name} {value:.3f}" for name, value in one.items()), flush=True
        )
        if number:  # number 0 loads what the others find loaded
            rounds.append(one)
    platform.storage.delete(place)
    show(rounds, options.mib)
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))


def watched(platform: Platform, python: Path, words: list[str]) -> dict[str, float]:
    """Run the script while a keeper commits what it writes; returns what that cost it, and what it did."""
    told: list[Committed] = []
    root = platform.settings.obs(CONTAINER, f"commit/{uuid.uuid4().hex}")
    with tempfile.TemporaryDirectory(prefix="commit-") as folder:
        written = Path(folder) / "checkpoint"
        written.mkdir()
        keeper = Keeper(platform.storage, [Part(written)], Path(folder) / "copy", Kept("a", root, 3), told.append)
        over, busy = threading.Event(), list[Span]()

        def keep() -> None:
            while not over.wait(1.0):
                began = time.monotonic()
                if keeper.tick(began):
                    busy.append((began, time.monotonic()))

        thread = threading.Thread(target=keep)
        thread.start()
        steps = script(python, str(written), words)
        over.set()
        thread.join()
    unchanged = sum(one.unchanged for one in told) / sum(one.bytes for one in told)
    return {**cost(steps, busy), "commits": float(len(told)), "unchanged": unchanged}


def script(python: Path, folder: str, words: list[str]) -> list[Span]:
    """Run the script and return its steps."""
    environ = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    argv = [python, "-c", SCRIPT, folder, *words]
    return json.loads(subprocess.run(argv, env=environ, check=True, capture_output=True, text=True).stdout)


def cost(steps: list[Span], busy: list[Span]) -> dict[str, float]:
    """Return how many times slower steps were while the keeper was at work, and that cost: seconds, and a share."""
    beside, others = list[float](), list[float]()
    for began, ended in steps:
        at_work = any(first <= began and ended <= last for first, last in busy)
        (beside if at_work else others).append(ended - began)
    usual = sum(others) / len(others)
    lost = sum(beside) - usual * len(beside)
    total = steps[-1][1] - steps[0][0]
    slower = sum(beside) / len(beside) / usual
    return {"slower": slower, "lost": lost, "share": lost / total, "at work": sum(last - first for first, last in busy)}


def show(rounds: list[dict[str, float]], mib: int) -> None:
    """Print the medians of the rounds."""
    table = Table("", "median")
    table.add_row("commits of a training", f"{median(one['commits'] for one in rounds):.0f}")
    table.add_row("seconds a commit", f"{median(one['at work'] / one['commits'] for one in rounds):.2f} for {mib} MiB")
    table.add_row("unchanged, copied at the store", f"{median(one['unchanged'] for one in rounds):.0%}")
    table.add_row("a step beside a commit / another", f"{median(one['slower'] for one in rounds):.2f}")
    table.add_row("lost, seconds a commit", f"{median(one['lost'] / one['commits'] for one in rounds):.2f}")
    table.add_row("lost, share of the training's time", f"{median(one['share'] for one in rounds):.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
