"""Saves a checkpoint, works for a while, saves another, and leaves a model; goes on from what it is given.

python saves.py --seconds 3
"""

import argparse
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=float, default=3.0)
args = parser.parse_args()

kept, given = (Path(os.environ[name]) / "step" for name in ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR"))
first = int(given.read_text()) if given.exists() else 0
print("first step", first, flush=True)
for step in range(first + 1, 3):
    part = kept.with_name(".part")
    part.write_text(str(step))
    part.replace(kept)
    time.sleep(args.seconds)
for number in range(3):
    (Path(os.environ["EM_MODEL_DIR"]) / f"layer-{number}").write_text(f"weights {number}")
