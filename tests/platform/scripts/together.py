"""Trains with DistributedDataParallel (gloo): rank r takes every batch's r-th part; rank 0 alone keeps what it learns.

torchrun … together.py --steps 60 --pause 0.1
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--pause", type=float, default=0.1)
args = parser.parse_args()

dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
kept, given = (Path(os.environ[name]) / "state.pt" for name in ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR"))
first = 0
if given.exists():  # every rank reads what rank 0 has written
    state = torch.load(given)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
print(f"rank {rank} of {world} at {os.environ['EMF_INSTANCE']}: first step {first}", flush=True)
for step in range(first, args.steps):
    batch = torch.Generator().manual_seed(step)  # the same for all: each takes its part
    data = torch.randn(8, 16, generator=batch)
    loss = (model(data[rank::world]) - data[rank::world].sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if rank == 0 and (step + 1) % 20 == 0:
        part = kept.with_name(".part.pt")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, part)
        part.replace(kept)
    time.sleep(args.pause)
if rank == 0:
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    (Path(os.environ["EM_MODEL_DIR"]) / "weights.bin").write_bytes(weights.numpy().tobytes())
dist.destroy_process_group()
