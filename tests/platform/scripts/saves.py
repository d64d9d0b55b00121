"""Saves a checkpoint of two files, works for a while, saves another, and leaves a model; goes on from what it is given.

One that it is given must be whole.

python saves.py --seconds 3
"""

import argparse
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=float, default=3.0)
args = parser.parse_args()

kept, given = (Path(os.environ[name]) for name in ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR"))
steps = [file.read_text() for file in given.iterdir()]
assert steps in ([], steps[:1] * 2), f"what is given is not whole: {steps}"
first = int(steps[0]) if steps else 0
print("first step", first, flush=True)
for step in range(first + 1, 3):
    for name in ("step", "optimizer"):
        (kept / ".part").write_text(str(step))
        (kept / ".part").replace(kept / name)
    time.sleep(args.seconds)
for number in range(3):
    (Path(os.environ["EM_MODEL_DIR"]) / f"layer-{number}").write_text(f"weights {number}")
