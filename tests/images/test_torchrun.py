"""Workers that torchrun starts are the script's: they go through the wrapper, share the cores and end with it."""

import os
import signal
import socket
import time

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
STUBBORN = """\
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", os.environ["RANK"], os.getppid())
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


@pytest.fixture
def stubborn(launch, image):
    """Two workers that nothing but SIGKILL ends, in sessions of their own."""
    one = launch(WORKER + STUBBORN, image("pytorch"), torchrun=TWO, grace_seconds=4)
    one.printed("ready 0", 60)
    one.printed("ready 1", 60)
    assert len({os.getsid(pid) for pid in one.alive()}) == 3
    return one


def test_workers_do_not_outlive_a_run_that_is_killed(stubborn):
    """With the run its ends of both pipes are gone: within the grace nothing of the script is left."""
    stubborn.process.stdin.close()
    os.close(stubborn._reports)
    stubborn._reports = -1
    began = time.monotonic()
    assert stubborn.process.wait(20) == 0
    assert time.monotonic() - began < 4 + 3
    assert stubborn.alive() == []


def test_workers_do_not_outlive_a_launcher_that_is_killed(stubborn, until):
    """The kernel kills the agent with the launcher, and each worker with the agent."""
    stubborn.process.kill()
    until(lambda: not stubborn.alive(), 1)


def test_workers_do_not_outlive_their_agent(stubborn, until):
    """They are dead before the launcher has even asked them to end."""
    agent = int(stubborn.output.split("ready 0 ")[1].split()[0])
    os.kill(agent, signal.SIGKILL)
    until(lambda: not stubborn.alive(), 1)
    assert stubborn.end()["signal"] == signal.SIGKILL


def test_workers_that_were_held_go_on(launch, image, until):
    """The launcher sleeps: the agent and both workers wait for the answer, and their group is none the worse."""
    script = WORKER + "print('ready'); time.sleep(2.5); dist.all_reduce(total); print('sum', total.item(), 'again')\n"
    one = launch(script, image("pytorch"), torchrun=TWO, sleep_seconds=1)
    until(lambda: one.output.count("ready") == 2, 60)
    for number, seconds in ((signal.SIGSTOP, 1.5), (signal.SIGCONT, 2)):
        for pid in [one.process.pid, *one.alive()]:
            os.kill(pid, number)
        time.sleep(seconds)
    assert "again" not in one.output
    one.send(b"go on 1\n")
    assert one.end()["exit_code"] == 0, one.output
    assert one.output.count("sum 6 again") == 2


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
