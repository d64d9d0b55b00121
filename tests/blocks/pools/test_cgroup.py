"""What a control group leaves of a machine."""

from pathlib import Path

import pytest

from blocks.pools.cgroup import Limits, cpu_limit, limits, memory_limit, path_of


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0::/\n", "/"),
        ("0::/user.slice/emf.service\n", "/user.slice/emf.service"),
        ("4:memory:/docker/1\n1:cpu:/\n0::/init.scope\n", "/init.scope"),
        ("4:memory:/docker/1\n", None),
        ("", None),
    ],
)
def test_the_own_group(text: str, group: str | None):
    """Version 2's line names it, beside those of version 1 or alone."""
    assert path_of(text) == group


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("1073741824\n", 2**30), ("", None), ("-1", None)])
def test_memory(text: str, limit: int | None):
    """Bytes, or no limit."""
    assert memory_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("5", None), ("5 0", None), ("a b", None)],
)
def test_processors(text: str, limit: float | None):
    """Processor time over its period, or no limit."""
    assert cpu_limit(text) == limit


def test_the_tightest_of_all_groups_around_counts(tmp_path: Path):
    """A group has no more than those that it is in; a file that is not there limits nothing."""
    own, root = tmp_path / "own", tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    own.write_text("0::/a/b\n")
    assert limits(root, own) == Limits(None, None)
    (root / "a" / "b" / "memory.max").write_text("4096\n")
    (root / "a" / "memory.max").write_text("1024\n")
    (root / "a" / "b" / "cpu.max").write_text("50000 100000\n")
    (root / "a" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("1\n")
    assert limits(root, own) == Limits(1024, 0.5)
    assert limits(root, tmp_path / "none") == Limits()
