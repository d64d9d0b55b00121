"""The name of a TensorBoard is held by one at a time."""

from pathlib import Path
from threading import Thread

import pytest

from blocks.hosts.errors import HostAway
from flows.tensorboard import hold
from flows.tensorboard.hold import held

NAME = "tensorboard-tr-1"


def test_a_name_that_stays_held_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who waits in vain learns what is held, and how to find by whom; another name is free."""
    monkeypatch.setattr(hold, "HOLD_SECONDS", 0.1)
    with held(tmp_path, NAME):
        with pytest.raises(HostAway, match=rf"{NAME} for 0.1 s; see with `fuser .+{NAME}.lock`"), held(tmp_path, NAME):
            pass
        with held(tmp_path, "tensorboard-tr-2"):
            pass


def test_one_at_a_time_holds_it(tmp_path: Path):
    """Of many that come at once none meets another, though each removes the file that it held."""
    inside, met = list[int](), list[int]()

    def come(who: int) -> None:
        for _ in range(20):
            with held(tmp_path, NAME):
                inside.append(who)
                met.extend(other for other in inside if other != who)
                inside.remove(who)

    both = [Thread(target=come, args=(who,)) for who in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(30)
    assert met == []


def test_nothing_is_left_of_it(tmp_path: Path):
    """No file stays behind; one that a killed process left is no hindrance."""
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / f"{NAME}.lock").touch()
    with pytest.raises(ZeroDivisionError), held(tmp_path, NAME):
        _ = 1 / 0
    assert list((tmp_path / "tensorboard").iterdir()) == []
