"""Trains with MultiWorkerMirroredStrategy: worker r takes every batch's r-th part; worker 0 alone keeps what it learns.

TF_CONFIG=… python together_tf.py --steps 60 --pause 0.1
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--pause", type=float, default=0.1)
args = parser.parse_args()

strategy = tf.distribute.MultiWorkerMirroredStrategy()
told = json.loads(os.environ["TF_CONFIG"])
rank, world = told["task"]["index"], len(told["cluster"]["worker"])
kept, given = (Path(os.environ[name]) / "state.npz" for name in ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR"))
first, start = 0, np.zeros((16, 1), np.float32)
if given.exists():  # every worker reads what worker 0 has written
    with np.load(given) as state:
        first, start = int(state["step"]), state["weights"]
with strategy.scope():
    weights = tf.Variable(start, aggregation=tf.VariableAggregation.MEAN)
print(f"worker {rank} of {world}: first step {first}", flush=True)


@tf.function
def train(data: tf.Tensor) -> None:
    def learn(data: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            wanted = tf.reduce_sum(data, 1, keepdims=True)
            loss = tf.reduce_mean(tf.square(tf.matmul(data, weights) - wanted))
        slope = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, tape.gradient(loss, weights)
        )
        weights.assign_sub(0.01 * slope)

    strategy.run(learn, args=(data,))


for step in range(first, args.steps):
    batch = np.random.default_rng(step).normal(size=(8, 16)).astype(np.float32)
    train(tf.constant(batch[rank::world]))
    if rank == 0 and (step + 1) % 20 == 0:
        part = kept.with_name(".part.npz")
        np.savez(part, weights=weights.numpy(), step=step + 1)
        part.replace(kept)
    time.sleep(args.pause)
if rank == 0:
    (Path(os.environ["EM_MODEL_DIR"]) / "weights.bin").write_bytes(weights.numpy().tobytes())
