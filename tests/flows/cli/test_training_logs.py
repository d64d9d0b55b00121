"""`emf training logs`, of one instance and of several."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from blocks.logs import LocalSink
from blocks.platform import Platform
from flows.cli import app
from flows.training.instances.instance import ScriptLog


@pytest.fixture
def logged(here: Platform, make: Callable[..., str]) -> Callable[..., str]:
    """A training of which every instance has written a line in each of two attempts; returns its id."""

    def write(instances: int) -> str:
        training_id = make(instance_count=instances)
        for attempt in (1, 2):
            for index in range(instances):
                log = ScriptLog(LocalSink(here.settings.home, training_id, attempt, index), training_id, attempt, index)
                log.write([(f"attempt {attempt} instance {index}", 0)])
                log.close()
        return training_id

    return write


def printed(*words: str) -> list[str]:
    result = CliRunner().invoke(app, ["training", "logs", *words])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_of_several_instances_each_line_says_whose_it_is(logged: Callable[..., str]):
    """Beside the line that it wrote; a training of one instance has its lines as they are."""
    assert printed(logged(1)) == ["attempt 1 instance 0", "attempt 2 instance 0"]
    assert printed(logged(2)) == [f"[{i}] attempt {a} instance {i}" for a in (1, 2) for i in (0, 1)]


@pytest.mark.parametrize("last", [[], ["-n", "9"]])
def test_one_instance_or_attempt_can_be_asked_for(logged: Callable[..., str], last: list[str]):
    """Then its lines are as they are."""
    training_id = logged(2)
    assert printed(training_id, "--instance", "1", *last) == ["attempt 1 instance 1", "attempt 2 instance 1"]
    assert printed(training_id, "--attempt", "2", *last) == ["[0] attempt 2 instance 0", "[1] attempt 2 instance 1"]
    assert printed(training_id, "--attempt", "2", "--instance", "0", *last) == ["attempt 2 instance 0"]
