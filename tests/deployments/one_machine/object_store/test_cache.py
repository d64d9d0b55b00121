"""What stands in for memcached."""

from deployments.one_machine.object_store.cache import MemoryCache


def test_what_is_kept_is_a_copy() -> None:
    """As with memcached, nobody changes a kept value from outside."""
    cache, value = MemoryCache(), {"a": [1]}
    cache.set("k", value)
    value["a"].append(2)
    cache.get("k")["a"].append(3)
    assert cache.get("k") == {"a": [1]}


def test_a_value_goes_when_its_time_is_over() -> None:
    """Without a time it stays."""
    now = 100.0
    cache = MemoryCache(clock=lambda: now)
    cache.set("short", 1, time=10)
    cache.set("long", 2)
    now = 110.0
    assert (cache.get("short"), cache.get("long")) == (None, 2)


def test_the_least_recently_used_goes_first() -> None:
    """The cache has a size."""
    cache = MemoryCache(limit=2)
    cache.set_multi({"a": 1, "b": 2}, "server")
    cache.get("a")
    cache.set("c", 3)
    assert cache.get_multi(["a", "b", "c"], "server") == [1, None, 3]


def test_a_count_never_falls_below_zero() -> None:
    """Counting goes as memcached's does."""
    cache = MemoryCache()
    assert (cache.incr("n", 3), cache.decr("n", 1), cache.decr("n", 9)) == (3, 2, 0)
    cache.delete("n")
    assert cache.get("n") is None
