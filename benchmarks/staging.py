"""How long it takes to bring data from the object store to this machine's disk: ours beside s5cmd and obstore.

All read the same objects from the platform's own store, in turns, each time into an empty folder: one of 1 GiB, and
2,000 small ones. The tools are installed into a folder of their own, for this run.

    .venv/bin/emf up && .venv/bin/python benchmarks/staging.py --rounds 5 --json result.json
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from uv import find_uv_bin

from blocks.platform import Platform
from blocks.storage.location import Location, parse

TOOLS = ("s5cmd", "obstore")
CONTAINER = "benchmark"
SHAPES = {"1 GiB in one file": (1, 2**30), "2,000 files of 4 KiB": (2000, 4096)}
OBSTORE = """
import asyncio, os, pathlib, sys
from obstore.store import S3Store
endpoint, bucket, prefix, folder = sys.argv[1:]
store = S3Store(bucket, endpoint=endpoint, region=os.environ["AWS_REGION"], virtual_hosted_style_request=False,
                client_options={"allow_http": True})
async def bring(path, gate):
    async with gate:
        target = pathlib.Path(folder, path.removeprefix(prefix))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            async for piece in (await store.get_async(path)).stream(min_chunk_size=8 << 20):
                out.write(piece)
async def main():
    gate = asyncio.Semaphore(16)
    paths = [one["path"] for page in store.list(prefix) for one in page]
    await asyncio.gather(*(bring(path, gate) for path in paths))
asyncio.run(main())
os._exit(0)  # its threads now and then abort a Python that ends
"""
Bring = Callable[[Location, Path], None]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    platform = Platform()
    with tempfile.TemporaryDirectory(prefix="staging-") as folder:
        ways = {"ours": ours(Path(folder)), **others(platform, Path(folder) / "tools")}
        figures = {}
        for name, (count, size) in SHAPES.items():
            place = prepare(platform, count, size, Path(folder) / "data")
            figures[name] = measure(ways, place, Path(folder) / "there", count * size, options.rounds)
        platform.storage.delete(parse(platform.settings.obs(CONTAINER, "staging/")))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def prepare(platform: Platform, count: int, size: int, folder: Path) -> Location:
    """Put random files into the store; returns where they lie."""
    place = parse(platform.settings.obs(CONTAINER, f"staging/{count}/"))
    platform.storage.ensure_container(place)
    platform.storage.delete(place)
    source = random.Random(count)
    folder.mkdir()
    for number in range(count):
        with (folder / f"{number:04}.bin").open("wb") as out:
            for done in range(0, size, 2**24):
                out.write(source.randbytes(min(2**24, size - done)))
    platform.storage.upload(folder, place)
    shutil.rmtree(folder)
    return place


def ours(_folder: Path) -> Bring:
    """Return how the platform brings files: a process of its own, as for the others."""
    code = "import sys; from blocks.platform import Platform; from blocks.storage.location import parse; "
    code += "from pathlib import Path; Platform().storage.download(parse(sys.argv[1]), Path(sys.argv[2]))"
    return lambda place, into: run([sys.executable, "-c", code, str(place), str(into)], os.environ)


def others(platform: Platform, folder: Path) -> dict[str, Bring]:
    """Install the tools that can be had here and return how each brings files."""
    storage = platform.storage.to_wire([parse(platform.settings.obs(CONTAINER))])
    endpoint = next(iter(storage["endpoints"].values()))
    keys = {"AWS_ACCESS_KEY_ID": endpoint["access_key"], "AWS_SECRET_ACCESS_KEY": endpoint["secret_key"]}
    environ = {**os.environ, **keys, "AWS_REGION": endpoint["region"], "S3_ENDPOINT_URL": endpoint["url"]}
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    found: dict[str, Bring] = {}
    for tool in TOOLS:
        argv = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", tool]
        if subprocess.run(argv, check=False).returncode:
            print(f"{tool} cannot be installed here: it is left out")
            continue
        found[tool] = way(tool, folder / "bin", endpoint["url"], environ)
    return found


def way(tool: str, bin_folder: Path, url: str, environ: Mapping[str, str]) -> Bring:
    """Return how a tool brings everything below a place into a folder."""
    if tool == "s5cmd":
        program = [bin_folder / "s5cmd", "--log", "error"]
        return lambda place, into: run([*program, "cp", f"s3://{place.container}/{place.prefix}*", f"{into}/"], environ)
    python = bin_folder / "python"
    return lambda place, into: run([python, "-c", OBSTORE, url, place.container, place.prefix, str(into)], environ)


def run(argv: list[str | Path], environ: Mapping[str, str]) -> None:
    """Run a program to its end; it must succeed."""
    subprocess.run(argv, env=dict(environ), check=True, stdout=subprocess.DEVNULL)


def measure(ways: Mapping[str, Bring], place: Location, into: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way, in each round; the first round fills caches and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, bring in ways.items():
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir()
            began = time.monotonic()
            bring(place, into)
            took = time.monotonic() - began
            found = sum(file.stat().st_size for file in into.rglob("*") if file.is_file())
            if found != size:
                raise SystemExit(f"{name} brought {found} of {size} bytes.")
            if number:
                seconds[name].append(took)
        told = ", ".join(f"{name} {values[-1]:.2f}" for name, values in seconds.items() if values)
        print(f"{number}/{rounds}: {told}", flush=True)
    return seconds


def show(figures: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Print the medians, and ours as a ratio to the best other way of the same rounds."""
    table = Table("what", *next(iter(figures.values())), "ours / best other")
    for name, seconds in figures.items():
        best = [min(values) for values in zip(*(v for way, v in seconds.items() if way != "ours"), strict=True)]
        ratio = median(mine / other for mine, other in zip(seconds["ours"], best, strict=True)) if best else None
        cells = [f"{median(values):.2f} s" for values in seconds.values()]
        table.add_row(name, *cells, f"{ratio:.2f}" if ratio else "")
    Console().print(table)


if __name__ == "__main__":
    main()
