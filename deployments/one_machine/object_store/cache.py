"""What stands in for memcached while there is one proxy in one process: a WSGI filter over a dict.

Swift keeps tokens and what it knows of accounts and containers here. Named by `configuration.proxy`.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LIMIT = 50_000  # entries; the least recently used go first


class MemoryCache:
    """What of swift.common.memcached.MemcacheRing Swift's proxy calls; values are copied, as memcached's are."""

    def __init__(self, limit: int = LIMIT, clock: Callable[[], float] = time.time) -> None:
        self._entries: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._limit = limit
        self._clock = clock

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        """Return the value of `key`, or None where there is none or its time is over."""
        expires, value = self._entries.get(key, (0.0, "null"))
        if expires <= self._clock():
            self._entries.pop(key, None)
            return None
        self._entries.move_to_end(key)
        return json.loads(value)

    def set(self, key: str, value: Any, serialize: bool = True, time: float = 0, **_memcached: Any) -> None:
        """Keep `value` for `time` seconds (0: until there is no room)."""
        self._entries[key] = (self._clock() + time if time else float("inf"), json.dumps(value))
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Add `delta` to a count that starts at 0 and never falls below it; return the new count."""
        count = max(0, int(self.get(key) or 0) + int(delta))
        self.set(key, count, time=time)
        return count

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Take `delta` from a count, not below 0; return the new count."""
        return self.incr(key, -int(delta), time)

    def delete(self, key: str, server_key: str | None = None) -> None:
        """Forget `key`."""
        self._entries.pop(key, None)

    def set_multi(self, mapping: Mapping[str, Any], server_key: str, time: float = 0, **_memcached: Any) -> None:
        """Keep several values."""
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], server_key: str) -> list[Any]:
        """Return the values of several keys, None for each that is missing."""
        return [self.get(key) for key in keys]


Application = Callable[..., Any]


def filter_factory(_global_conf: dict[str, str], **_local_conf: str) -> Callable[[Application], Application]:
    """Return the paste filter that puts one MemoryCache into every request's environment."""
    cache = MemoryCache()

    def factory(app: Application) -> Application:
        def with_cache(environ: dict[str, Any], start_response: Application) -> Any:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return with_cache

    return factory
