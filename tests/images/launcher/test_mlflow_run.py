"""The training's MLflow run stays open when the script ends, however it ends: the platform closes it."""

import os

import pytest


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """An MLflow store in a file."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


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
                print(good.info.run_id)
            try:
                with mlflow.start_run(nested=True) as bad:
                    print(bad.info.run_id)
                    raise ValueError
            except ValueError:
                pass
        """)
    assert one.end()["exit_code"] == 0, one.output
    good, bad = one.output.split()[-2:]
    assert [client.get_run(name).info.status for name in (good, bad, run)] == ["FINISHED", "FAILED", "RUNNING"]
