"""The training's MLflow run stays open when the script ends, however it ends: the platform closes it."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    """An MLflow server."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    tuned = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | tuned, cwd=folder, stdout=log, stderr=log)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def client(store):
    """The platform's own client."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


@pytest.fixture
def train(launch, client, store):
    """Run a script in a new run of MLflow's; return the launch and that run's id."""

    def start(script: str):
        run = client.create_run("0").info.run_id
        env = {
            "MLFLOW_TRACKING_URI": store,
            "MLFLOW_RUN_ID": run,
            "MLFLOW_EXPERIMENT_ID": "0",
            "HOME": os.environ["HOME"],
        }
        return launch(script, env=env, mlflow_run_id=run), run

    return start


SCRIPT = """
    import os, signal, sys, time
    import mlflow
    mlflow.log_metric("loss", 0.5)
    """


@pytest.mark.parametrize(
    ("ending", "exit_code", "number"),
    [
        ("", 0, None),
        ("raise ValueError('bad')", 1, None),
        ("mlflow.end_run()", 0, None),
        ("mlflow.end_run('KILLED'); mlflow.MlflowClient().set_terminated(os.environ['EMF_MLFLOW_RUN_ID'])", 0, None),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", None, 15),
    ],
    ids=["exit", "exception", "end_run", "set_terminated", "SIGTERM"],
)
def test_run_stays_open(train, client, ending, exit_code, number):
    """After exit 0, an exception, the script's own end_run and SIGTERM the run is RUNNING and has its metrics."""
    one, run = train("\n".join([SCRIPT, f"    {ending}"]))
    end = one.end()
    assert (end["exit_code"], end["signal"]) == (exit_code, number), one.output
    info = client.get_run(run)
    assert (info.info.status, info.info.end_time) == ("RUNNING", None)
    assert info.data.metrics == {"loss": 0.5}


def test_with_block_and_late_metrics(train, client):
    """After a `with` block the run is open, and metrics that were logged in the background are in it."""
    one, run = train("""
        import mlflow
        with mlflow.start_run():
            for step in range(200):
                mlflow.log_metric("loss", 1 / (step + 1), step=step, synchronous=False)
        """)
    assert one.end()["exit_code"] == 0, one.output
    assert client.get_run(run).info.status == "RUNNING"
    assert len(client.get_metric_history(run, "loss")) == 200


def test_runs_of_the_scripts_own_end_as_ever(train, client):
    """A nested run is FINISHED, one that fails is FAILED; only the training's own stays open."""
    one, run = train("""
        import mlflow
        with mlflow.start_run():
            with mlflow.start_run(nested=True) as good:
                print("made", good.info.run_id)
            try:
                with mlflow.start_run(nested=True) as bad:
                    print("made", bad.info.run_id)
                    raise ValueError
            except ValueError:
                pass
        """)
    assert one.end()["exit_code"] == 0, one.output
    good, bad = re.findall("made (.*)", one.output)
    assert [client.get_run(name).info.status for name in (good, bad, run)] == ["FINISHED", "FAILED", "RUNNING"]


def test_a_parameter_that_is_there_keeps_its_value(train, client):
    """Logged again with another value it is left out with a line; the script goes on, and what is new is logged."""
    one, run = train("""
        import os
        import mlflow
        own = mlflow.MlflowClient()
        own.log_batch(run_id=os.environ["MLFLOW_RUN_ID"], params=[mlflow.entities.Param("lr", "1e-3")])
        assert mlflow.log_param("lr", 0.001) == 0.001
        mlflow.log_params({"lr": 0.01, "seed": 7})
        mlflow.log_param("lr", 0.1, synchronous=False).wait()
        mlflow.log_params({"lr": 0.1, "depth": 3}, synchronous=False).wait()
        mlflow.log_param("lr", "1e-3")
        """)
    assert one.end()["exit_code"] == 0, one.output
    assert client.get_run(run).data.params == {"lr": "1e-3", "seed": "7", "depth": "3"}
    said = [line for line in one.output.splitlines() if line.startswith("MLflow: the parameter lr")]
    assert said[0] == "MLflow: the parameter lr has the value '1e-3' already; 0.001 is left out"
    assert len(said) == 4


def test_parameters_of_the_scripts_own_runs_are_mlflows_affair(train, client):
    """Only the training's own run is lenient."""
    one, _ = train("""
        import mlflow
        mlflow.log_param("lr", 1)
        with mlflow.start_run(nested=True):
            mlflow.log_param("lr", 2)
            mlflow.log_param("lr", 3)
        """)
    assert one.end()["exit_code"] == 1
    assert "MlflowException" in one.output
