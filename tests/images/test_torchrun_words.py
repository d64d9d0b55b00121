"""What torchrun really prints tells which worker failed first and how, to whoever reads a script's last words."""

import re

import pytest

from flows.training.ends.evidence import LAST_LINES, Cause, Evidence
from flows.training.ends.last_words import Worker, read
from flows.training.ends.verdict import explain
from tests.flows.training.torchrun import report

SCRIPT = """\
import os, signal, sys, time
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
dist.barrier()
if dist.get_rank() == 1:
    {ending}
time.sleep(600)
"""
FULL = "OSError: [Errno 28] No space left on device"
GPU = "torch.OutOfMemoryError: CUDA out of memory. Tried"


@pytest.mark.parametrize(
    ("ending", "worker", "line", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", Worker(1, signal=9), "", "INTERRUPTED"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Worker(1, signal=11), "", "USER_ERROR"),
        ("sys.exit(3)", Worker(1, exit_code=3), "", "USER_ERROR"),
        ("raise ValueError('bad')", Worker(1, exit_code=1), "ValueError: bad", "USER_ERROR"),
        ("raise OSError(28, 'No space left on device')", Worker(1, exit_code=1), FULL, "STORAGE"),
        ("raise torch.OutOfMemoryError('CUDA out of memory. Tried')", Worker(1, exit_code=1), GPU, "OUT_OF_MEMORY"),
        ("import einops_of_nobody", Worker(1, exit_code=1), "ModuleNotFoundError: No module named", "USER_ERROR"),
    ],
)
def test_the_worker_that_failed_first_is_known(launch, image, ending: str, worker: Worker, line: str, reason: str):
    """Its rank, its exit code or signal, and the words of its own exception are in the lines that are kept."""
    one = launch(SCRIPT.format(ending=ending), image("pytorch"), torchrun={"nproc_per_node": 2})
    end = one.end()
    lines = one.output.splitlines()[-LAST_LINES:]
    said = read(lines, end["exit_code"])
    assert said.worker == worker, one.output
    assert said.line.startswith(line)
    evidence = Evidence(Cause.EXIT, exit_code=end["exit_code"], last_lines=lines)
    assert explain(evidence)[0] == reason


def shape(lines: list[str]) -> list[str]:
    """Return the report of these lines, without what differs from one run to the next."""
    begin = max(place for place, line in enumerate(lines) if line.startswith("torch.distributed.elastic"))
    odd = r"\d+|\S+/\S+|(?<=host      : )\S+"
    return [re.sub(r"([-=])\1+", r"\1", re.sub(odd, "*", line)).rstrip() for line in lines[begin:] if line.strip()]


def test_torchruns_report_is_the_one_that_other_tests_know(launch, image):
    """Line by line, but for times, processes, paths and names."""
    ending = "os.kill(os.getpid(), signal.SIGKILL)"
    one = launch(SCRIPT.format(ending=ending), image("pytorch"), torchrun={"nproc_per_node": 2})
    one.end()
    assert shape(one.output.splitlines()) == shape(report(1, -9, 0))
