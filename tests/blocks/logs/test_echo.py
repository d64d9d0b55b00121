"""How much of the output is shown."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from blocks.logs.echo import Echo, EchoLimit


def test_few_lines_pass() -> None:
    """Up to the limit in a second every line passes, in each second anew."""
    limit = EchoLimit("mnist", per_second=2)
    assert limit.take(["a", "b"], 0.0) == ["a", "b"]
    assert limit.tick(1.0) == []
    assert limit.take(["c", "d"], 1.0) == ["c", "d"]
    assert limit.end() == []


def test_left_out() -> None:
    """At the end of the second it is said how many were left out and where they are, before what comes next."""
    limit = EchoLimit("my training")
    assert limit.take([str(n) for n in range(1284)], 0.0) == [str(n) for n in range(50)]
    assert limit.tick(0.99) == []
    told = "… 1,234 lines left out here; all of them are in `emf training logs 'my training'`"
    assert limit.take(["next"], 1.0) == [told, "next"]
    assert limit.tick(9.0) == []


def test_the_end() -> None:
    """What was left out when all ends is told then; one is one."""
    limit = EchoLimit("t", per_second=1)
    limit.take(["a", "b"], 0.0)
    assert limit.end() == ["… 1 line left out here; all of them are in `emf training logs t`"]
    assert limit.end() == []


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 30))))
def test_never_more(batches: list[tuple[float, int]]) -> None:
    """Every line is shown or counted, and a second never has more than the limit and one."""
    limit, now, total = EchoLimit("t", per_second=5), 0.0, 0
    shown: list[tuple[float, str]] = []
    for pause, count in batches:
        now += pause
        total += count
        shown += [(now, line) for line in limit.take(["line"] * count, now)]
    shown += [(now, line) for line in limit.end()]
    counted = sum(int(line.split()[1]) for _, line in shown if line != "line")
    assert counted + sum(line == "line" for _, line in shown) == total
    assert sum(line == "line" for _, line in shown) <= 5 * (int(now) + 1)


def test_instances_share_one_limit() -> None:
    """Ten that print a hundred lines each within a second show 50 lines and one that counts all others."""
    shown: list[str] = []
    echo = Echo(shown.append, "t")

    def print_lines(instance: int) -> None:
        for n in range(100):
            echo.take([f"{instance}: {n}"], 0.5)

    threads = [threading.Thread(target=print_lines, args=(instance,)) for instance in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    echo.finish()
    assert len(shown) == 51
    assert shown[-1].startswith("… 950 lines left out here")
