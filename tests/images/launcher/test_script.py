"""The wrapper around a user's script: what python itself would do, it does."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from images.launcher import proc

WRAPPER = Path(__file__).parents[3] / "images" / "launcher" / "script.py"

SCRIPTS = {
    "success": "import sys; print(__name__, __file__, sys.argv, sys.path[0], __spec__, __package__, __cached__)",
    "exit code": "import sys; sys.exit(4)",
    "exit message": "import sys; sys.exit('no data')",
    "exit none": "raise SystemExit",
    "large code": "import sys; sys.exit(300)",
    "hard exit": "import os; print('kept', flush=True); os._exit(5)",
    "error": "def deep():\n    raise ValueError('날짜')\ndeep()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('b') from e",
    "syntax": "x = (\nprint('",
    "interrupt": "raise KeyboardInterrupt",
    "own hook": "import sys\nsys.excepthook = lambda k, e, t: print(k, e, t.tb_frame.f_code.co_name)\nraise OSError(3)",
    "atexit": "import atexit, sys\na = 'x'\natexit.register(lambda: print(sys.modules['__main__'].a))\nsys.exit(2)",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
    "encoding": "# -*- coding: latin-1 -*-\nprint(len('\xe9'))",
    "future": "def f(x: Missing): ...\nprint(f.__annotations__)",
    "pickle": "import pickle\nclass A:\n    x = 1\nprint(pickle.loads(pickle.dumps(A())).x)",
    "warning": "import warnings\nwarnings.warn('old')",
    "modules": "import beside\nprint(beside.NAME, beside.__file__)",
}


def outcome(words: list[str], folder: Path, **variables: str) -> tuple[int, str, str]:
    env = os.environ | variables
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_wrapped_script_ends_as_under_python(tmp_path, name, workers):
    """Exit code, output and traceback are the same, letter for letter, with the wrapper and without."""
    folder = tmp_path / "코드 1"
    folder.mkdir()
    (folder / "beside.py").write_text("NAME = 'beside'\n")
    script = folder / "train.py"
    script.write_text(SCRIPTS[name] + "\n", encoding="latin-1" if name == "encoding" else "utf-8")
    plain = outcome([sys.executable, str(script), "--a", "b c"], folder)
    wrapped = outcome([sys.executable, str(WRAPPER), str(script), "--a", "b c"], folder, WORLD_SIZE=workers)
    assert wrapped == plain


ABORTS_LATE = """\
import ctypes, os, sys
class Late:
    def __del__(self):
        ctypes.CDLL(None).abort()
late, left = Late(), open("left.txt", "w")
left.write("written")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_one_of_several_workers_is_not_taken_apart(tmp_path, code):
    """A worker among several ends with its own code, what it left open written, whatever would abort it after that."""
    script = tmp_path / "train.py"
    script.write_text(ABORTS_LATE)
    words = [sys.executable, str(WRAPPER), str(script), str(code)]
    assert outcome(words, tmp_path, WORLD_SIZE="1")[0] == -signal.SIGABRT
    (tmp_path / "left.txt").unlink()
    assert outcome(words, tmp_path, WORLD_SIZE="2")[0] == code
    assert (tmp_path / "left.txt").read_text() == "written"


AGENT = """\
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, *sys.argv[1:]], start_new_session=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    found = proc.process(pid)
    return found is not None and found.alive


def test_worker_of_torchrun_dies_with_its_agent(tmp_path, until):
    """A worker in a session of its own is killed by the kernel when its agent is."""
    script, agent, output = (tmp_path / name for name in ("train.py", "agent.py", "output"))
    script.write_text("import os, time; print(os.getpid()); time.sleep(600)")
    agent.write_text(AGENT)
    env = os.environ | {"TORCHELASTIC_RUN_ID": "none", "EMF_ATTEMPT": "a1"}
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, str(agent), str(WRAPPER), str(script)], env=env, stdout=file)
    until(lambda: output.read_text().endswith("\n"))
    process.kill()
    process.wait()
    until(lambda: not alive(int(output.read_text())), 1)


def test_worker_whose_agent_was_dead_before_it_could_ask_ends(tmp_path):
    """Whoever has adopted it does not carry the attempt's mark."""
    script = tmp_path / "train.py"
    script.write_text("print('ran')")
    marks = {"TORCHELASTIC_RUN_ID": "none", "EMF_ATTEMPT": "a1"}
    assert outcome([sys.executable, str(WRAPPER), str(script)], tmp_path, **marks) == (-signal.SIGKILL, "", "")


def test_link_to_a_script_imports_from_where_the_script_is(tmp_path):
    """A script behind a link finds the modules beside its target, as under python."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "train.py").write_text("import beside; print(beside.__file__)")
    (tmp_path / "real" / "beside.py").write_text("")
    link = tmp_path / "train.py"
    link.symlink_to(tmp_path / "real" / "train.py")
    code, output, _ = outcome([sys.executable, str(WRAPPER), str(link)], tmp_path)
    assert (code, output.strip()) == (0, str(tmp_path / "real" / "beside.py"))


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_worker_processes_find_a_scripts_functions(launch, method):
    """Multiprocessing runs a function that the script defines, whichever way it starts its workers."""
    one = launch(f"""
        import multiprocessing
        def double(x):
            return 2 * x
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(pool.map(double, range(4)))
        """)
    assert one.end()["exit_code"] == 0
    assert one.output == "[0, 2, 4, 6]\n"


def test_traceback_begins_in_the_script(launch):
    """The first frame that a user sees is the user's."""
    one = launch("raise ValueError('bad')")
    assert one.end()["exit_code"] == 1
    expected = f"""\
        Traceback (most recent call last):
          File "{one.script}", line 1, in <module>
            raise ValueError('bad')
        ValueError: bad
        """
    assert one.output == textwrap.dedent(expected)


def test_mlflow_costs_nothing_where_it_is_not_used(launch):
    """With a run of MLflow's and no import of it, no module of MLflow's is loaded."""
    one = launch("import sys; print([name for name in sys.modules if 'mlflow' in name])", mlflow_run_id="r1")
    assert one.end()["exit_code"] == 0
    assert one.output == "[]\n"
