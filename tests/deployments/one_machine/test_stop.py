"""In which order the platform ends."""

from pathlib import Path

from blocks.settings import Settings
from deployments.one_machine import stop
from tests.conftest import Silent

SETTINGS = Settings(home=Path("/srv/emf"))


def test_those_who_report_end_before_those_who_listen() -> None:
    """Workers and services first, then the controller, then the servers."""
    running = ["controller", "mlflow", "object_store", "prefect", "tensorboard-1", "worker-control", "worker-process"]
    assert [names for names, _ in stop.stages(SETTINGS, running)] == [
        ["tensorboard-1", "worker-control", "worker-process"],
        ["controller"],
        ["mlflow", "object_store", "prefect"],
    ]


def test_runs_have_their_time_to_end() -> None:
    """The first stage takes no less than the process worker may need, and an empty one takes none."""
    [(names, seconds)] = stop.stages(SETTINGS, ["worker-process"])
    assert names == ["worker-process"]
    assert seconds > 90


def test_down_makes_no_folder(tmp_path: Path) -> None:
    """Where no platform ever was, `emf down` says so and leaves no trace."""
    assert not stop.down(Settings(home=tmp_path / "never"), Silent())
    assert not (tmp_path / "never").exists()
