"""An instance's side of the controller's door: the verbs of an attempt, over HTTP, with a token of its own."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from blocks.errors import Permanent, Temporary
from blocks.records.words import Wish
from flows.training.assignment import Assignment
from flows.training.checkpoints.checkpoint import Committed
from flows.training.ends.verdict import Evidence

BEAT_SECONDS = 2.0
FRESH_SECONDS = 3 * BEAT_SECONDS  # shorter than any lease
PATIENCE_SECONDS = 300  # a controller that restarts must not end trainings
END_SECONDS = 6 * 3600  # and what is done is told, however long the controller is away
NOT_UNDERSTOOD = (413, 422)

logger = logging.getLogger(__name__)


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps."""
    return clock_gettime(CLOCK_BOOTTIME)


class DoorClosed(Temporary):
    """The controller does not answer."""


class GivenUp(Permanent):
    """This attempt is no longer ours: it was given up or has ended. End the script and write nothing more."""


class NotUnderstood(GivenUp):
    """The controller cannot read what it is told."""


class Door:
    """The verbs of one attempt. Thread-safe."""

    def __init__(self, url: str, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self._token = secrets.token_urlsafe(32)
        self._http = httpx.Client(base_url=f"{url}/attempts/{attempt_id}", timeout=15, trust_env=False)
        self.wish = Wish.NONE
        self.given_up = threading.Event()
        self.progress = ""
        self._heard = _now()
        self._started: float | None = None  # by the steady clock: the machine's own may be set while a script runs
        self._ended: float | None = None

    @property
    def ran_seconds(self) -> float | None:
        """For how long the script has run, in seconds; None as long as it has not started."""
        if self._started is None:
            return None
        return (time.monotonic() if self._ended is None else self._ended) - self._started

    def claim(self, code: str, flow_run_id: str) -> Assignment:
        """Take the attempt. The same run may claim again; any other is refused.

        Raises:
            GivenUp: it belongs to another run, or has ended.
            DoorClosed: the controller did not answer in five minutes.
        """
        answer = self._call("claim", {"code": code, "token": self._token, "flow_run_id": flow_run_id})
        return Assignment.model_validate(answer)

    def run(self) -> None:
        """Tell that the script has started. Its time counts from the first call, whether or not that is heard."""
        if self._started is None:
            self._started = time.monotonic()
        self._call("run", {}, patience=0)

    def confirm(self) -> None:
        """Make sure that the attempt is still ours. What waits for this is as dear as the end: so is the patience.

        Raises:
            GivenUp: it is not.
            DoorClosed: the controller was away for hours.
        """
        self._beat(END_SECONDS)

    def make_sure(self) -> None:
        """Make sure that the attempt is still ours where nothing was heard of it for a while, as after a sleep.

        Raises:
            GivenUp: it is not; `given_up` is set.
            DoorClosed: the controller does not answer now: ask again, before anything is done that others could see.
        """
        if _now() - self._heard <= FRESH_SECONDS:
            return
        try:
            self._beat(patience=FRESH_SECONDS)
        except GivenUp:
            self.given_up.set()
            raise

    def stage_out(self, evidence: Evidence) -> None:
        """Tell that the script has ended, and how. Its time counts no further."""
        self._tell("stage-out", evidence, PATIENCE_SECONDS)

    def resumed(self, path: str, *, is_verified: bool, differs: Sequence[str]) -> None:
        """Tell from which checkpoint the attempt goes on (none: an empty text), and what is different from then."""
        with suppress(DoorClosed):  # it goes on all the same; the log has it
            self._call("resumed", {"path": path, "is_verified": is_verified, "differs": list(differs)})

    def checkpoint(self, done: Committed) -> None:
        """Tell of a checkpoint that has been committed."""
        age = (datetime.now(UTC) - done.taken_at).total_seconds() if done.taken_at else 0.0
        said = {"number": done.number, "path": done.path, "files": done.files, "bytes": done.bytes}
        self._call("checkpoint", said | {"age_seconds": max(0.0, age)})

    def warn(self, message: str) -> None:
        """Write an event that a person should see; where the controller is away it is only in the log."""
        with suppress(DoorClosed):
            self._call("warn", {"message": message}, patience=10)

    def end(self, evidence: Evidence) -> dict[str, Any]:
        """End the attempt; returns the training's `state`, `reason` and `message` from here."""
        return self._tell("end", evidence, END_SECONDS)

    @contextmanager
    def beating(self) -> Generator[None]:
        """Renew the lease every two seconds from a thread; `wish` and `given_up` say what came back."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_SECONDS):
                try:
                    self.wish = Wish(self._beat(patience=0)["wish"])
                except GivenUp:
                    self.given_up.set()
                    return
                except DoorClosed:
                    continue  # the next beat asks again; the lease's end is the controller's to judge
                except Exception:  # an attempt whose beats end in silence is taken for lost
                    logger.exception("A beat of the attempt %s failed; the next one is tried.", self.attempt_id)

        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=20)

    def _beat(self, patience: float) -> dict[str, Any]:
        """Renew the lease. A beat that is not understood is said without words: it does not mean that we were given up.

        Raises:
            GivenUp: the attempt is no longer ours.
            DoorClosed: the controller was away for so many seconds, or understands no beat at all.
        """
        for body in ({"progress": self.progress} | self._ran(), {}):
            with suppress(NotUnderstood):
                return self._call("beat", body, patience)
        raise DoorClosed(f"The controller at {self._http.base_url} does not understand a beat.")

    def _tell(self, verb: str, evidence: Evidence, patience: float) -> dict[str, Any]:
        """Tell of an end, and, where the controller cannot read that, of how it ended and no more."""
        if self._ended is None:
            self._ended = time.monotonic()
        try:
            return self._call(verb, {"evidence": evidence.to_json()} | self._ran(), patience)
        except NotUnderstood as error:
            return self._call(verb, {"evidence": evidence.in_short(str(error)).to_json()} | self._ran(), patience)

    def _ran(self) -> dict[str, float]:
        return {} if self.ran_seconds is None else {"ran_seconds": round(self.ran_seconds, 3)}

    def _call(self, verb: str, body: dict[str, Any], patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        for attempt in Retrying(
            retry=retry_if_exception_type(DoorClosed),
            stop=stop_after_delay(patience),
            wait=wait_exponential_jitter(multiplier=0.2, max=10),
            reraise=True,
        ):
            with attempt:
                return self._once(verb, body)
        raise AssertionError  # Retrying either returns or raises

    def _once(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        # A script's words and file names may hold half a character, which JSON can carry and UTF-8 cannot.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        asked = _now()
        try:
            answer = self._http.post(verb, content=content, headers=headers)
        except httpx.TransportError as error:
            raise DoorClosed(f"The controller at {self._http.base_url} does not answer: {error}") from error
        if answer.status_code in (409, 410):
            raise GivenUp(answer.json()["message"])
        if answer.status_code >= 500:
            raise DoorClosed(f"The controller answered {answer.status_code} to {verb}.")
        if answer.status_code >= 400:
            refusal = NotUnderstood if answer.status_code in NOT_UNDERSTOOD else GivenUp
            raise refusal(f"The controller refused {verb} with {answer.status_code}: {answer.text[:300]}")
        self._heard = asked  # and not later: who sleeps between question and answer has slept on the lease
        return answer.json()
