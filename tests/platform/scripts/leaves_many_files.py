"""Leaves a model of many small files: staging it out takes a while."""

import argparse
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--files", type=int, default=5000)
model = Path(os.environ["EM_MODEL_DIR"])
for number in range(parser.parse_args().files):
    (model / f"{number:05}.bin").write_bytes(b"weights")
print("done")
