"""Counts, keeps what it has counted as its checkpoint, and goes on from there; saves once more when told to end.

python counts.py --steps 100 --pause 0.2
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=100_000)
parser.add_argument("--pause", type=float, default=0.2)
parser.add_argument("--more", type=int, default=0, help="how many steps where it goes on from a checkpoint")
args = parser.parse_args()

kept = Path(os.environ["EM_CHECKPOINT_DIR"])
given = Path(os.environ["EM_CHECKPOINT_INPUT_DIR"]) / "step"
first = int(given.read_text()) + 1 if given.exists() else 1
last = first + args.more - 1 if first > 1 and args.more else args.steps
print("first step", first)


def save(step, why):
    (kept / ".part").write_text(str(step))
    (kept / ".part").replace(kept / "step")
    if why:
        (kept / "why").write_text(why)


def end(_signal, _frame):
    print("told to end")
    raise SystemExit(1)


signal.signal(signal.SIGTERM, end)
step = first - 1
try:
    for step in range(first, last + 1):
        if step % 20 == 1:
            save(step, "")
            print("step", step)
        time.sleep(args.pause)
except SystemExit:
    save(step, "SIGTERM")
    sys.exit(1)
(Path(os.environ["EM_MODEL_DIR"]) / "model.txt").write_text(str(step))
print("counted to", step)
