"""Learns to read handwritten digits with PyTorch.

Run it as a training of AI EasyMaker (entry point `train.py`, a data set with the name `digits`, see prepare.py), or by
hand, where everything goes into the folder `output`:

    python prepare.py data && python train.py --epochs 5

It also runs on several instances, and with torchrun: each process learns from its share of the images, and the first
one writes. The digits are few and small, so it uses the processor only.
"""

import argparse
import json
import os
from pathlib import Path

import mlflow
import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from torch.utils.tensorboard import SummaryWriter

# In a training of the platform MLflow has a run already, and what is logged goes to it; by hand there is no server.
TRACKED = "MLFLOW_TRACKING_URI" in os.environ
# With more than one process these, and MASTER_ADDR and MASTER_PORT, are in each one's environment.
RANK = int(os.environ.get("RANK", 0))
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", 1))


def arguments():
    """Every hyperparameter of the training arrives as `--name value`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=0.005)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    # parse_known_args, not parse_args: a hyperparameter that this script does not know does not end it.
    return parser.parse_known_args()[0]


def folder(variable, default):
    """EasyMaker names the folders in the environment; outside of it there are defaults."""
    path = Path(os.environ.get(variable) or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def load(path):
    """Return the images to learn from and those held out, as pairs of tensors."""
    with np.load(path / "digits.npz") as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    train = TensorDataset(tensors["train_images"], tensors["train_labels"])
    test = TensorDataset(tensors["test_images"], tensors["test_labels"])
    return train, test


def build(hidden):
    """An image of 8 x 8 grey values in, one score for each of the ten digits out."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def resume(model, optimizer):
    """Load the checkpoint that this training is to go on from, if there is one; return the next epoch's number."""
    path = Path(os.environ.get("EM_CHECKPOINT_INPUT_DIR") or "output/checkpoint") / "checkpoint.pt"
    state = torch.load(path, weights_only=True) if RANK == 0 and path.exists() else None
    if WORLD_SIZE > 1:  # every process goes on from what the first one found
        box = [state]
        dist.broadcast_object_list(box)
        state = box[0]
    if state is None:
        return 1
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    print(f"Going on after epoch {state['epoch']}")
    return state["epoch"] + 1


def save_checkpoint(path, model, optimizer, epoch):
    """Write beside the old checkpoint and rename: whenever the training is stopped, a whole one is there."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    torch.save(state, path / "checkpoint.pt.part")
    os.replace(path / "checkpoint.pt.part", path / "checkpoint.pt")


def learn(model, optimizer, batches):
    """Go through all batches once; return the mean loss."""
    model.train()
    total, count = 0.0, 0
    for images, labels in batches:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
        count += len(images)
    return total / count


def evaluate(model, data):
    """Return the share of images that are read correctly."""
    model.eval()
    images, labels = data.tensors
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    if WORLD_SIZE > 1:
        dist.init_process_group("gloo")
    train, test = load(Path(os.environ.get("EM_DATASET_DIGITS") or "data"))
    model = build(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate)
    first = resume(model, optimizer)
    if WORLD_SIZE > 1:
        sampler = DistributedSampler(train, seed=args.seed)
        network = DistributedDataParallel(model)
    else:
        sampler = None
        network = model
    batches = DataLoader(train, batch_size=args.batch_size, sampler=sampler, shuffle=sampler is None)

    checkpoints = folder("EM_CHECKPOINT_DIR", "output/checkpoint")
    board = SummaryWriter(folder("EM_TENSORBOARD_LOG_DIR", "output/tensorboard")) if RANK == 0 else None
    if RANK == 0 and TRACKED:
        mlflow.log_params(vars(args))
    for epoch in range(first, args.epochs + 1):
        if sampler:
            sampler.set_epoch(epoch)
        loss = learn(network, optimizer, batches)
        if RANK != 0:
            continue
        accuracy = evaluate(model, test)
        print(f"epoch {epoch}/{args.epochs}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        board.add_scalar("loss", loss, epoch)
        board.add_scalar("accuracy", accuracy, epoch)
        if TRACKED:
            mlflow.log_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)
        save_checkpoint(checkpoints, model, optimizer, epoch)

    if RANK == 0:
        board.close()
        accuracy = evaluate(model, test)
        output = folder("EM_MODEL_DIR", "output/model")
        torch.jit.script(model).save(output / "model.pt")  # with its code, for serving
        torch.save(model.state_dict(), output / "state_dict.pt")
        (output / "metrics.json").write_text(json.dumps({"accuracy": accuracy, "epochs": args.epochs}))
        print(f"accuracy {accuracy:.4f} on {len(test)} images; the model is in {output}")
    if WORLD_SIZE > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
