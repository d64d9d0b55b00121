"""The trainings that many tests look at: submitted together, so that their starts overlap; each test waits for its own.

A training costs two starts of Python before its script's; one after another they would take all of the time there is.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.platform.deadlines import within

ENDS = 400  # seconds, beside all others of the batch on two busy cores
STARTS = 300
EPOCHS = 120  # MLflow samples the system's metrics every ten seconds: a training must last so long to have any
Training = dict[str, Any]

BATCH: Mapping[str, Mapping[str, Any]] = {
    "digits": {
        "algorithm_path": "code/digits",
        "entry_point": "train.py",
        "instance_type": "cpu.medium",
        "hyperparameters": {"epochs": str(EPOCHS), "learning-rate": "0.005", "batch-size": "32"},
        "data_sets": [{"name": "digits", "path": "data/digits"}],
        "tags": {"team": "시험", "kind": "example"},
    },
    "lost": {"entry_point": "counts.py", "hyperparameters": {"more": "30"}},
    "maximum": {"entry_point": "counts.py", "maximum_time": "1m"},
    "stopped": {"entry_point": "counts.py"},
    "cancelled": {"entry_point": "counts.py"},
    "deaf": {"entry_point": "deaf.py"},
    "memory": {"entry_point": "eats_memory.py"},
    "fails": {"entry_point": "fails.py"},
    "segfaults": {"entry_point": "segfaults.py"},
    "no-requirements": {"entry_point": "needs_what_is_nowhere/train.py"},
    "requirements": {"entry_point": "needs_a_package/train.py"},
    "environment": {"entry_point": "shows_environment.py"},
    "lines": {"entry_point": "writes_lines.py"},
    "autolog": {"entry_point": "autologs.py", "hyperparameters": {"alpha": "1e-1"}},
    "hello": {"entry_point": "hello.py", "hyperparameters": {"learning-rate": "-1e-5"}},
    "staging-out": {"entry_point": "leaves_many_files.py"},
    "staging-in": {"entry_point": "hello.py", "data_sets": [{"name": "many", "path": "many files"}]},
}
"""What differs from the request that the fixture `asked` makes. The last two are met on their way: they are awaited."""


class Batch:
    """The trainings by their names in `BATCH`."""

    def __init__(self, show: Callable[[str], Training], ids: Mapping[str, str]) -> None:
        self._show, self._ids = show, ids

    def __getitem__(self, name: str) -> str:
        """Return the id of one."""
        return self._ids[name]

    def now(self, name: str) -> Training:
        """Return all that is known of one."""
        return self._show(self._ids[name])

    def ended(self, name: str, seconds: float = ENDS) -> Training:
        """Wait for the end of one and return all that is known of it."""
        return self.until(name, lambda found: found["ended_at"], seconds)

    def until(self, name: str, true: Callable[[Training], object], seconds: float = STARTS) -> Training:
        """Wait until something is true of one."""

        def look() -> Training | None:
            found = self.now(name)
            if not true(found):
                assert not found["ended_at"], f"{name} has ended: {found['state']} {found['message']}"
                return None
            return found

        return within(seconds, look, f"{name}'s turn")

    def running(self, name: str) -> Training:
        """Wait until the script of one has written its first line."""
        return self.until(name, lambda found: found["state"] == "RUNNING")
