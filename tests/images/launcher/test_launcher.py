"""The launcher with real scripts: how they end, what is passed on, and that nothing of them is left."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

IGNORES_SIGTERM = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    time.sleep(600)
    """


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


def test_stop_lets_a_script_save(launch):
    """SIGTERM reaches the script, which ends by itself within the grace: its exit code counts, nothing is killed."""
    one = launch("""
        import signal, sys, time
        def save(*_):
            print("saved")
            sys.exit(3)
        signal.signal(signal.SIGTERM, save)
        print("ready")
        time.sleep(600)
        """)
    one.printed("ready")
    one.stop()
    end = one.end()
    assert (end["cause"], end["exit_code"], end["processes_killed"]) == ("stopped", 3, 0)
    assert one.output == "ready\nsaved\n"


def test_stop_leaves_a_scripts_workers_to_it(launch):
    """While the script saves, its worker processes still answer; once it is gone they hear SIGTERM themselves."""
    one = launch("""
        import os, signal, sys, time
        ask, answer = os.pipe(), os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(ask[1])
            while os.read(ask[0], 1):
                os.write(answer[1], b"y")
            time.sleep(600)  # a worker that does not notice
        def save(*_):
            time.sleep(1)
            os.write(ask[1], b"x")
            print("worker answered", os.read(answer[0], 1))
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        print("ready")
        time.sleep(600)
        """)
    one.printed("ready")
    one.stop()
    end = one.end()
    assert (end["cause"], end["exit_code"], end["processes_killed"]) == ("stopped", 0, 0)
    assert "worker answered b'y'" in one.output


def test_script_that_ignores_the_stop_is_killed_after_the_grace(launch):
    """What still lives when the grace is over dies of SIGKILL."""
    one = launch(IGNORES_SIGTERM, grace_seconds=1)
    one.printed("ready")
    one.stop()
    end = one.end()
    assert (end["cause"], end["signal"], end["processes_killed"]) == ("stopped", signal.SIGKILL, 1)


def test_deadline_is_a_stop_with_another_cause(launch):
    """A script that runs past its time is ended with the same grace."""
    one = launch(IGNORES_SIGTERM, deadline_seconds=1, grace_seconds=0.5)
    end = one.end()
    assert (end["cause"], end["signal"]) == ("deadline", signal.SIGKILL)


DAEMONS = """
    import os, signal, sys, time
    BODY = "import signal, sys, time; signal.signal(15, 1); open(sys.argv[1], 'w').close(); time.sleep(600)"
    def daemon(env):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                name = "marked" if env else "bare"
                os.execve(sys.executable, [sys.executable, "-c", BODY, __file__ + name], env)
            os._exit(0)
        os.wait()
    daemon({})
    daemon(dict(os.environ))
    while not (os.path.exists(__file__ + "bare") and os.path.exists(__file__ + "marked")):
        time.sleep(0.02)
    """


@pytest.mark.parametrize("last", ["", "os.kill(os.getpid(), signal.SIGKILL)", "print('ready'); time.sleep(600)"])
def test_daemons_of_a_script_end_with_it(launch, last):
    """Two stubborn daemons in sessions of their own, one without environment, end with exit, death or stop."""
    one = launch(textwrap.dedent(DAEMONS) + last, grace_seconds=2)
    if "ready" in last:
        one.printed("ready")
        one.stop()
    end = one.end()
    assert (end["processes_killed"], end["survivors"]) == (2, 0)


def test_script_that_forks_in_a_loop_is_ended(launch):
    """Processes that each start the next and exit, without the mark, do not get away."""
    one = launch(
        """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        body = "import os, time, signal\\nsignal.signal(15, 1)\\nopen(r'%s', 'w').close()\\nend = time.time() + 60" % (
            __file__ + ".ready")
        body += "\\nwhile time.time() < end:\\n    if os.fork(): os._exit(0)\\n    time.sleep(0.002)"
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
                os.execve(sys.executable, [sys.executable, "-c", body, __file__], {})
        while not os.path.exists(__file__ + ".ready"):
            time.sleep(0.02)
        print("ready")
        time.sleep(600)
        """,
        grace_seconds=0.5,
    )
    one.printed("ready")
    one.stop()
    end = one.end()
    assert (end["cause"], end["survivors"]) == ("stopped", 0)
    assert end["processes_killed"] >= 5


def test_end_of_the_parents_pipe_ends_the_script(launch):
    """Standard input that ends is the parent's death: the script is stopped, cause `orphaned`."""
    one = launch(IGNORES_SIGTERM, grace_seconds=0.5)
    one.printed("ready")
    one.process.stdin.close()
    assert one.end()["cause"] == "orphaned"


def test_script_does_not_outlive_a_parent_that_is_killed(tmp_path: Path, until):
    """A parent that dies of SIGKILL takes the launcher and the script with it."""
    script, launcher = tmp_path / "train.py", Path(__file__).parents[3] / "images" / "launcher" / "__main__.py"
    script.write_text("import os, time; print(os.getpid()); time.sleep(600)")
    parent = f"""
import json, os, subprocess, sys, time
read, write = os.pipe()
child = subprocess.Popen([sys.executable, "-I", "-S", "-B", {str(launcher)!r}], stdin=subprocess.PIPE, pass_fds=[write],
                         stdout=open({str(tmp_path / "output")!r}, "w"), env={{"EMF_REPORT_FD": str(write)}})
job = {{"attempt": "a1", "argv": [{str(script)!r}], "cwd": {str(tmp_path)!r}, "env": {{}}}}
child.stdin.write(json.dumps(job).encode() + b"\\n")
child.stdin.flush()
print(child.pid, flush=True)
time.sleep(600)
"""
    output = tmp_path / "output"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        launcher_pid = int(process.stdout.readline())
        until(lambda: output.exists() and output.read_text().endswith("\n"))
        script_pid = int(output.read_text())
        assert os.getsid(script_pid) == script_pid != os.getsid(launcher_pid) != os.getsid(0)
        process.kill()
    until(lambda: not Path(f"/proc/{launcher_pid}").exists() and not Path(f"/proc/{script_pid}").exists())


def test_script_does_not_outlive_a_launcher_that_is_killed(launch, until):
    """The kernel kills the script when the launcher dies of SIGKILL."""
    one = launch(IGNORES_SIGTERM)
    one.printed("ready")
    one.process.kill()
    until(lambda: not one.alive())


def test_memory_over_the_limit_ends_the_script(launch):
    """A script that takes more than its memory is ended for that, and the peak says how much it was."""
    one = launch(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("small")
        time.sleep(1)
        block = bytearray(b"x") * (300 << 20)
        print("big")
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert end["cause"] == "memory"
    assert (end["signal"], end["exit_code"]) == (signal.SIGKILL, None)
    assert 200 << 20 < end["peak_memory_bytes"] < 400 << 20
    assert "small" in one.output


def test_memory_a_little_over_leaves_a_moment(launch):
    """Less than a tenth over the limit, a script hears SIGTERM and may say its last words."""
    one = launch(
        """
        import signal, sys, time
        def last(*_):
            print("last words")
            sys.exit(9)
        signal.signal(signal.SIGTERM, last)
        block = bytearray(b"x") * (200 << 20)
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert (end["cause"], end["exit_code"]) == ("memory", 9)
    assert "last words" in one.output


def test_memory_counts_all_processes_and_shared_pages_once(launch):
    """Eight processes that share 100 MB stay below 200 MB; four more with 40 MB of their own do not."""
    one = launch(
        """
        import os, time
        block = bytearray(b"x") * (100 << 20)
        for _ in range(8):
            if os.fork() == 0:
                time.sleep(600)
        time.sleep(3)
        print("shared", flush=True)
        for _ in range(4):
            if os.fork() == 0:
                own = bytearray(b"x") * (40 << 20)
                time.sleep(600)
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    events = one.events()
    assert "shared" in one.output
    assert events[-1]["cause"] == "memory"
    usage = [event["memory_bytes"] for event in events if event["event"] == "usage"]
    assert 100 << 20 < max(usage) < 200 << 20


def test_fast_eater_is_caught_early(launch):
    """A script that takes memory as fast as it can is ended long before it has ten times its limit."""
    one = launch(
        """
        import time
        time.sleep(0.7)
        blocks = []
        for _ in range(100):
            blocks.append(bytearray(b"x") * (20 << 20))
        print("ate it all")
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert (end["cause"], "ate it all" in one.output) == ("memory", False)
    assert end["peak_memory_bytes"] < 1 << 30


def test_usage_is_reported_while_a_script_runs(launch):
    """Memory, its peak and the processor time come every two seconds."""
    one = launch("""
        import time
        block = bytearray(b"x") * (50 << 20)
        while time.process_time() < 1:
            pass
        del block
        time.sleep(3.5)
        """)
    usage = [event for event in one.events() if event["event"] == "usage"]
    assert len(usage) >= 3
    assert usage[-1]["peak_memory_bytes"] > 50 << 20 > usage[-1]["memory_bytes"] > 1 << 20
    assert 0.9 < usage[-1]["cpu_seconds"] < 3


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
