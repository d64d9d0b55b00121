"""Descends a gradient with momentum and noise; everything that the next step depends on is in its checkpoint.

Two runs with the same settings end with the same weights, bit for bit, wherever one of them was interrupted.
python descends.py --steps 400 --pause 0.05
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--pause", type=float, default=0.05)
parser.add_argument("--every", type=int, default=10, help="steps between two checkpoints")
parser.add_argument("--hurry", type=Path, default=Path("/nowhere"), help="once this file is there, no more pauses")
args = parser.parse_args()

kept, given = (Path(os.environ[name]) / "state.npz" for name in ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR"))
noise = np.random.default_rng(0)
target, weights, speed, first = noise.normal(size=64), np.zeros(64), np.zeros(64), 0
if given.exists():
    with np.load(given) as state:
        weights, speed, first = state["weights"], state["speed"], int(state["step"])
        noise.bit_generator.state = eval(str(state["noise"]))  # its own words, from its own file
print("first step", first, flush=True)


def save(step: int) -> None:
    part = kept.with_name(".part.npz")
    np.savez(part, weights=weights, speed=speed, step=step, noise=str(noise.bit_generator.state))
    part.replace(kept)


for step in range(first, args.steps):
    speed = 0.9 * speed - 0.01 * (weights - target + noise.normal(size=64))
    weights = weights + speed
    if (step + 1) % args.every == 0:
        save(step + 1)
    if not args.hurry.exists():
        time.sleep(args.pause)
np.save(Path(os.environ["EM_MODEL_DIR"]) / "weights.npy", weights)
print("descended", args.steps, "steps")
