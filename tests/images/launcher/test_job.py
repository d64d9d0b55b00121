"""The job's line: what is accepted, what is refused with which words, and the command and environment that follow."""

import json
import os

import pytest

from images.launcher.job import WRAPPER, BadJob, Torchrun, command, cores, environment, parse

JOB = {"attempt": "a1", "argv": ["/s/train.py", "--epochs", "3"], "cwd": "/s", "env": {"PATH": "/bin"}}


def job(**fields: object) -> bytes:
    return json.dumps(JOB | fields).encode()


def test_the_rest_has_defaults():
    """Four fields are enough; a stop then has 25 seconds."""
    one = parse(job())
    assert (one.argv, one.grace_seconds, one.memory_bytes, one.instance, one.torchrun) == (
        ("/s/train.py", "--epochs", "3"),
        25.0,
        0,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "one line of JSON"),
        (b"[]", "a JSON object"),
        (b"{}", "`attempt` is missing; `argv` is missing; `cwd` is missing; `env` is missing"),
        (job(memory=3), "`memory` is unknown"),
        (job(memory_bytes="3"), "`memory_bytes` must be int, not str"),
        (job(memory_bytes=True), "`memory_bytes` must be int, not bool"),
        (job(threads=-1), "`threads` must be 0 or more, not -1"),
        (job(argv=[]), "`argv` must begin with the script's path"),
        (job(argv=["a", 1]), "`argv` must be a list of texts"),
        (job(cpus=["0"]), "`cpus` must be a list of numbers"),
        (job(torchrun={"nnodes": 2}), "`torchrun.nproc_per_node` is missing"),
        (job(torchrun={"nproc_per_node": 2, "port": 1}), "`torchrun.port` is unknown"),
    ],
)
def test_refusal_names_the_field(line, words):
    """A wrong job is refused, by the name of what is wrong."""
    with pytest.raises(BadJob, match=words.replace("(", r"\(")):
        parse(line)


def test_refusal_never_shows_a_value_of_the_environment():
    """What may be secret is not in the message."""
    with pytest.raises(BadJob) as refusal:
        parse(job(env={"TOKEN": ["hunter2"]}))
    assert "TOKEN" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_command_runs_the_script_through_the_wrapper():
    """The image's python, the wrapper, then the script and its arguments as they are."""
    assert command(parse(job()), "py") == ["py", WRAPPER, "/s/train.py", "--epochs", "3"]


@pytest.mark.parametrize(
    ("torchrun", "words"),
    [
        ({"nproc_per_node": 2}, ["--nproc_per_node=2", "--standalone"]),
        (
            {"nproc_per_node": 4, "nnodes": 3, "node_rank": 2, "master_addr": "h0", "master_port": 29500},
            ["--nproc_per_node=4", "--nnodes=3", "--node_rank=2", "--master_addr=h0", "--master_port=29500"],
        ),
    ],
)
def test_torchrun_starts_the_wrapper_in_each_worker(torchrun, words):
    """Torchrun's words come before the wrapper, the script's after it."""
    expected = ["py", "-m", "torch.distributed.run", *words, WRAPPER, "/s/train.py", "--epochs", "3"]
    assert command(parse(job(torchrun=torchrun)), "py") == expected


def test_environment_is_the_jobs_and_the_mark():
    """Nothing of the launcher's own environment is in it; nothing replaces the mark."""
    env = environment(parse(job(env={"A": "1", "EMF_ATTEMPT": "forged"}, instance=3, mlflow_run_id="r1")))
    assert env == {
        "A": "1",
        "EMF_ATTEMPT": "a1",
        "EMF_INSTANCE": "3",
        "EMF_MLFLOW_RUN_ID": "r1",
        "PYTHONUNBUFFERED": "1",
    }


def test_threads_are_shared_by_workers_and_the_job_goes_first():
    """Each of torchrun's workers has its part of the cores; a number that the job sets itself stays."""
    env = environment(parse(job(threads=8, env={"MKL_NUM_THREADS": "1"}, torchrun={"nproc_per_node": 4})))
    assert (env["OMP_NUM_THREADS"], env["TF_NUM_INTRAOP_THREADS"], env["MKL_NUM_THREADS"]) == ("2", "2", "1")


def test_cores_are_those_that_are_there():
    """Cores that this process has are given; none of them there is refused with both lists."""
    mine = os.sched_getaffinity(0)
    one = min(mine)
    assert cores(()) == mine
    assert cores((one, 4000)) == {one}
    with pytest.raises(BadJob, match=r"\[4000\]"):
        cores((4000,))


def test_torchrun_defaults():
    """One worker set is one instance of rank 0."""
    assert parse(job(torchrun={"nproc_per_node": 1})).torchrun == Torchrun(1, 1, 0, "", 0)
