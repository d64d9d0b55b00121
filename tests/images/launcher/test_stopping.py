"""A script is stopped, or its platform dies: it may save first, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from images.launcher.ending import LEFTOVER_GRACE_SECONDS

IGNORES_SIGTERM = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    time.sleep(600)
    """


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


def test_end_of_the_main_process_is_told_before_what_it_leaves_is_ended(launch, hear):
    """Others hear of a script that failed although a stubborn daemon of it takes two seconds more."""
    one = launch(textwrap.dedent(DAEMONS) + "sys.exit(7)")
    told = hear(one, "exited")
    at = time.monotonic()
    assert (told["cause"], told["exit_code"], told["signal"]) == ("exit", 7, None)
    assert hear(one, "ended")["processes_killed"] == 2
    assert time.monotonic() - at > LEFTOVER_GRACE_SECONDS / 2


def test_end_of_a_main_process_that_was_stopped_is_told_as_such(launch, hear):
    """What a script that we ended exits with is no failure of its own."""
    one = launch("import time; print('ready'); time.sleep(600)")
    one.printed("ready")
    one.stop()
    told = hear(one, "exited")
    assert (told["cause"], told["exit_code"], told["signal"]) == ("stopped", None, signal.SIGTERM)


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
