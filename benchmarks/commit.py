"""What committing checkpoints costs a training: its time beside that of the same script whose folder nobody watches.

The script multiplies matrices and writes a checkpoint of which one file in four is new each time. The keeper runs
beside it, in this process, as it does in a run: it looks, copies, hashes, uploads to the platform's own store.

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
import os, sys, time
import numpy as np
folder, files, size, saves, seconds = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
matrix, noise = np.random.default_rng(0).normal(size=(400, 400)), np.random.default_rng(1)
began, steps = time.monotonic(), 0
for save in range(saves):
    for step in range(int(seconds * 40)):
        matrix = np.tanh(matrix @ matrix / 400)
    for number in range(files):
        if save == 0 or number == save % files:
            path = os.path.join(folder, f"layer-{number}.bin")
            with open(path + ".part", "wb") as out:
                out.write(noise.bytes(size))
            os.replace(path + ".part", path)
print(time.monotonic() - began)
"""


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256, help="MiB of a checkpoint")
    parser.add_argument("--saves", type=int, default=4, help="how many checkpoints a training writes")
    parser.add_argument("--seconds", type=float, default=15.0, help="roughly, of work between two of them")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    platform = Platform()
    place = parse(platform.settings.obs(CONTAINER, "commit/"))
    platform.storage.ensure_container(place)
    python = Environments(platform.settings.home).ensure("pytorch", print)
    words = [str(FILES), str(options.mib * 2**20 // FILES), str(options.saves), str(options.seconds)]
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds + 1):
        one = {"alone": alone(python, words), **watched(platform, python, words)}
        print(
            f"{number}/{options.rounds}: " + ", ".join(f"{name} {value:.2f}" for name, value in one.items()), flush=True
        )
        if number:  # number 0 loads what the others find loaded
            rounds.append(one)
    platform.storage.delete(place)
    show(rounds, options.mib)
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))


def alone(python: Path, words: list[str]) -> float:
    """Return the seconds of the script whose folder nobody watches."""
    with tempfile.TemporaryDirectory(prefix="commit-") as folder:
        return script(python, folder, words)


def watched(platform: Platform, python: Path, words: list[str]) -> dict[str, float]:
    """Return the seconds of the script while a keeper commits what it writes, and what that did."""
    told: list[Committed] = []
    root = platform.settings.obs(CONTAINER, f"commit/{uuid.uuid4().hex}")
    with tempfile.TemporaryDirectory(prefix="commit-") as folder:
        written = Path(folder) / "checkpoint"
        written.mkdir()
        keeper = Keeper(platform.storage, [Part(written)], Path(folder) / "copy", Kept("a", root, 3), told.append)
        over, spent = threading.Event(), [0.0]

        def keep() -> None:
            while not over.wait(1.0):
                began = time.monotonic()
                keeper.tick(began)
                spent[0] += time.monotonic() - began

        thread = threading.Thread(target=keep)
        thread.start()
        seconds = script(python, str(written), words)
        over.set()
        thread.join()
        keeper.finish()
    unchanged = sum(one.unchanged for one in told) / sum(one.bytes for one in told)
    return {"watched": seconds, "keeper": spent[0], "commits": float(len(told)), "unchanged": unchanged}


def script(python: Path, folder: str, words: list[str]) -> float:
    """Run the script and return its own measure of its time, in seconds."""
    environ = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-c", SCRIPT, folder, *words], env=environ, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def show(rounds: list[dict[str, float]], mib: int) -> None:
    """Print the medians, and the share of the script's time that watching it costs."""
    table = Table("", "median")
    for name in ("alone", "watched", "keeper"):
        table.add_row(f"{name}, seconds", f"{median(one[name] for one in rounds):.2f}")
    table.add_row("commits of a training", f"{median(one['commits'] for one in rounds):.0f}")
    table.add_row("seconds a commit", f"{median(one['keeper'] / one['commits'] for one in rounds):.2f} for {mib} MiB")
    table.add_row("unchanged, copied at the store", f"{median(one['unchanged'] for one in rounds):.0%}")
    cost = median((one["watched"] - one["alone"]) / one["alone"] for one in rounds)
    table.add_row("cost, share of the training's time", f"{cost:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
