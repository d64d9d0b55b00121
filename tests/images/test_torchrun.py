"""Workers that torchrun starts are the script's: they go through the wrapper, share the cores and end with it."""

import socket

import pytest

TWO = {"nproc_per_node": 2}
WORKER = """\
import os, signal, sys, time
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1])
dist.all_reduce(total)
print("rank", dist.get_rank(), "of", dist.get_world_size(), "sum", total.item(), sys.argv[1:], sys.path[0])
"""
SAVE = """\
def save(*_):
    print("saved", os.environ["RANK"])
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", os.environ["RANK"])
time.sleep(600)
"""


def test_each_worker_runs_the_script(launch, image):
    """Two workers find each other, see the script's arguments and its folder, and have half of the threads each."""
    script = WORKER + "print('threads', os.environ['OMP_NUM_THREADS'])\n"
    job = {"torchrun": TWO, "arguments": ["--a", "b"], "threads": 2}
    one = launch(script, image("pytorch"), **job)
    assert one.end()["exit_code"] == 0, one.output
    for rank in (0, 1):
        assert f"rank {rank} of 2 sum 3 ['--a', 'b'] {one.folder}" in one.output
    assert one.output.count("threads 1") == 2


@pytest.mark.parametrize(("ending", "words"), [("sys.exit(3)", "exitcode  : 3"), ("raise ValueError('bad')", "bad")])
def test_worker_that_fails_ends_all(launch, image, ending, words):
    """A worker that fails fails the script, and the one that would sleep on is ended."""
    one = launch(WORKER + f"if dist.get_rank() == 1: {ending}\ntime.sleep(600)\n", image("pytorch"), torchrun=TWO)
    end = one.end()
    assert (end["exit_code"], end["cause"]) == (1, "exit")
    assert "rank 0 of 2" in one.output
    assert words in one.output


def test_stop_lets_workers_save(launch, image):
    """A stop reaches the workers, in process groups of their own, which save what they have."""
    one = launch(WORKER + SAVE, image("pytorch"), torchrun=TWO)
    one.printed("ready 0", 60)
    one.printed("ready 1", 60)
    one.stop()
    assert one.end()["cause"] == "stopped"
    assert {"saved 0", "saved 1"} <= set(one.output.splitlines())


def test_two_instances_are_one_group(launch, image):
    """Two launchers with one worker each, told of one master, make a group of two."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    both = [
        launch(
            WORKER,
            image("pytorch"),
            instance=rank,
            torchrun={
                "nproc_per_node": 1,
                "nnodes": 2,
                "node_rank": rank,
                "master_addr": "127.0.0.1",
                "master_port": port,
            },
        )
        for rank in (0, 1)
    ]
    for rank, one in enumerate(both):
        assert one.end()["exit_code"] == 0, one.output
        assert f"rank {rank} of 2 sum 3" in one.output
