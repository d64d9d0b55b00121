"""The launcher with real scripts: what of them and to them is passed on."""

import os
import signal

import pytest


def test_exit_code_is_the_scripts(launch):
    """A script's own exit code arrives, with the cause `exit`, after a report of its start."""
    one = launch("raise SystemExit(7)")
    events = one.events()
    assert [events[0]["event"], events[-1]["event"]] == ["started", "ended"]
    assert (events[-1]["exit_code"], events[-1]["signal"], events[-1]["cause"]) == (7, None, "exit")
    assert one.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_signal_that_a_script_dies_of_is_told(launch, number):
    """A script that dies of a signal has no exit code, and the cause is still its own."""
    end = launch(f"import os; os.kill(os.getpid(), {int(number)})").end()
    assert (end["exit_code"], end["signal"], end["cause"]) == (None, number, "exit")


def test_output_is_the_scripts_alone_whole_and_in_order(launch):
    """100,000 lines on each stream arrive in the order in which they were printed, none lost, none added."""
    one = launch("""
        import sys
        for i in range(100_000):
            print(f"out {i}")
            print(f"err {i}", file=sys.stderr)
        """)
    assert one.end()["exit_code"] == 0
    assert one.output.splitlines() == [f"{stream} {i}" for i in range(100_000) for stream in ("out", "err")]


def test_lines_of_several_processes_do_not_mix(launch):
    """What four processes print at the same time arrives as whole lines."""
    one = launch("""
        import os
        for _ in range(2):
            os.fork()
        for i in range(5000):
            print("x" * 50)
        try:
            while True:
                os.wait()
        except ChildProcessError:
            pass
        """)
    assert one.end()["exit_code"] == 0
    assert one.output.splitlines() == ["x" * 50] * 20_000


def test_script_sees_its_job_and_nothing_else(launch):
    """Arguments, environment, folder and cores are the job's; standard input is empty; the launcher is no module."""
    core = min(os.sched_getaffinity(0))
    one = launch(
        """
        import importlib.util, os, sys
        print(sys.argv[1:], sys.stdin.read() == "", os.sched_getaffinity(0))
        print(sorted(set(os.environ) - {"LC_CTYPE"}))
        print(os.environ["OMP_NUM_THREADS"], os.environ["EMF_INSTANCE"])
        print(sys.path[0] == os.getcwd() == os.path.dirname(__file__), importlib.util.find_spec("launcher"))
        print(sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1])
        """,
        arguments=["--learning-rate", "0.1"],
        env={"EM_HP_A": "1"},
        cpus=[core],
        threads=1,
        instance=2,
    )
    assert one.end()["exit_code"] == 0, one.output
    lines = one.output.splitlines()
    assert lines[0] == f"['--learning-rate', '0.1'] True {{{core}}}"
    threads = ["MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    own = ["EMF_ATTEMPT", "EMF_INSTANCE", "EM_HP_A", "PATH", "PYTHONUNBUFFERED"]
    assert lines[1] == str(sorted([*threads, *own, "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"]))
    assert lines[2:] == ["1 2", "True None", "[0, 1, 2]"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"cwd": "/no/such/folder"}, "/no/such/folder"),
        ({"cpus": [4000]}, "4000"),
        ({"colour": "red"}, "`colour` is unknown"),
    ],
)
def test_job_that_cannot_be_started_is_refused(launch, job, words):
    """What is wrong with a job is reported, and the launcher exits with 2."""
    one = launch("print('never')", **job)
    (event,) = one.events()
    assert event["event"] == "refused"
    assert words in event["reason"]
    assert (one.process.returncode, one.output) == (2, "")


def test_missing_script_is_told_like_python_tells_it(launch):
    """A script that is not there exits with python's own code and words."""
    one = launch("", argv=["/no/such/train.py"])
    assert one.end()["exit_code"] == 2
    assert "can't open file '/no/such/train.py'" in one.output


def test_parent_that_reads_no_reports_does_not_hold_a_script_up(launch):
    """A pipe of reports that is closed changes nothing for the script."""
    one = launch("import time; time.sleep(2.5); print('done')")
    os.close(one._reports)
    one._reports = -1
    assert one.process.wait(20) == 0
    assert one.output == "done\n"
