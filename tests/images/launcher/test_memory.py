"""When memory is too much, and where the kernel counts its own kills."""

import pytest

from images.launcher import memory


@pytest.mark.parametrize(
    ("used", "limit", "expected"),
    [
        (0, 100, "within"),
        (100, 100, "within"),
        (101, 100, "over"),
        (110, 100, "over"),
        (111, 100, "far"),
        (10**12, 0, "within"),
    ],
)
def test_verdict(used, limit, expected):
    """Up to the limit is within, up to a tenth above it over, more is far; no limit allows everything."""
    assert memory.verdict(used, limit) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("nr_free_pages 1\noom_kill 0\n", 0),
        ("oom_kill_disable 0\nunder_oom 0\n", None),
    ],
    ids=["cgroup v2", "cgroup v1", "vmstat", "old kernel"],
)
def test_count_of_kills(text, expected):
    """The counter has one name in three files."""
    assert memory.parse_oom_kills(text) == expected


@pytest.mark.parametrize(
    ("cgroups", "first"),
    [
        ("0::/kubepods/pod1\n", "/sys/fs/cgroup/kubepods/pod1/memory.events"),
        ("0::/\n", "/sys/fs/cgroup/memory.events"),
        ("4:cpu,memory:/docker/a\n0::/\n", "/sys/fs/cgroup/memory/docker/a/memory.oom_control"),
        ("", "/proc/vmstat"),
    ],
)
def test_nearest_counter_goes_first(cgroups, first):
    """The process's own group is asked before the mount's root, the machine last."""
    files = memory.counter_files(cgroups)
    assert files[0] == first
    assert files[-1] == "/proc/vmstat"


def test_count_here_is_a_number():
    """Whatever this machine's kernel has, the answer is a count."""
    assert memory.oom_kills() >= 0
