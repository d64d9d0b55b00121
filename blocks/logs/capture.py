"""From a script's pipe into its log: every line, in order; if the log is slow, the script waits."""

import os
import select
import threading
import time

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from blocks.logs.echo import Echo
from blocks.logs.errors import LogError, LogStoreAway
from blocks.logs.sink import Fragment, InstanceLog
from blocks.logs.splitter import LONGEST, Splitter

_TICK = 0.2  # seconds
_FLUSH_SECONDS = 1.0
_PATIENCE = 300.0  # seconds for which a store that is away holds up the script
_LAST_WORDS = 5.0  # seconds for what is still in the pipe of a script that has ended


class Capture:
    """Reads the pipe in a thread until its end and closes it.

    `pipe` is the reading end of the pipe that is the script's standard output and error; `echo` shows some of it.
    Lines that can not be stored for five minutes are lost, from then on all of them: the script goes on, and `finish`
    says so.
    """

    def __init__(self, pipe: int, log: InstanceLog, echo: Echo) -> None:
        self._pipe = pipe
        self._log = log
        self._echo = echo
        self._splitter = Splitter()
        self._deadline: float | None = None
        self._failure: LogError | None = None
        self._flushed = time.monotonic()
        self._patiently = Retrying(
            retry=retry_if_exception_type(LogStoreAway),
            wait=wait_exponential_jitter(multiplier=0.1, max=5),
            stop=stop_after_delay(_PATIENCE),
            reraise=True,
        )
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def finish(self, within: float) -> None:
        """Return when all is stored; call it when the script's processes have ended.

        If a process that got away still holds the pipe after `within` seconds, what is in it by then is the end.

        Raises:
            LogError: lines were lost, for this reason.
        """
        self._deadline = time.monotonic() + within
        self._thread.join(within + _LAST_WORDS + _PATIENCE + 60)
        if self._thread.is_alive():
            raise LogStoreAway("The log's store holds up what is still to be written.")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN | select.POLLHUP)
        try:
            while not self._over(ready := bool(poll.poll(_TICK * 1000))):
                data = os.read(self._pipe, LONGEST) if ready else b""
                if ready and not data:
                    break
                now = time.monotonic()
                self._take(self._splitter.feed(data, now) if data else self._splitter.idle(now), now)
            self._take(self._splitter.end(), time.monotonic())
        finally:
            os.close(self._pipe)

    def _over(self, ready: bool) -> bool:
        if self._deadline is None:
            return False
        late = time.monotonic() - self._deadline
        return late > _LAST_WORDS or (late > 0 and not ready)

    def _take(self, fragments: list[Fragment], now: float) -> None:
        if self._failure is None:
            try:
                self._patiently(self._log.write, fragments)
                if now - self._flushed >= _FLUSH_SECONDS:
                    self._patiently(self._log.flush)
                    self._flushed = now
            except LogError as error:
                self._failure = error
        self._echo.take([body for body, _ in fragments], now)
