"""A look at records and world at once: of every open attempt a few columns, and Prefect where its word may matter.

An attempt that beats costs Prefect nothing: what a person cancelled there is listed, and all else is only asked for
attempts that are silent, that wait for their run, or that have ended. What was cancelled may have ended before Prefect
could say so, to itself as to us: it must not be tried again.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.runs import Observed, Runs
from blocks.records import survey
from blocks.records.survey import Glance
from blocks.records.tables import now
from blocks.records.words import TERMINAL, TrainingState, Wish
from flows.reconcile.findings import EXIT, NO_RUN, Seen, is_doubtful
from flows.reconcile.hearing import Hearing

# What is older is looked at by a thorough look, a few minutes later at most.
RECENTLY_CANCELLED = timedelta(minutes=10)
RECENTLY_ENDED = timedelta(hours=1)
PROCESSES_HERE = "process"  # the pool whose runs are processes of this machine
UNASKED = Observed("", "")
NEEDS_NO_LEASE = TERMINAL | {TrainingState.DELETE_IN_PROGRESS, TrainingState.DELETE_FAILED}

log = structlog.get_logger("reconcile")


class Prefect:
    """Prefect's answers for one look; once it has not answered, it is not asked again in that look.

    Attributes:
        away: why it did not answer, "" as long as it does.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.away = ""

    def cancelled(self, since: datetime) -> dict[str, Observed]:
        """Return the state of every run that a person cancelled, by its id."""
        return self._asked(lambda: self._runs.cancelled(since))

    def states(self, flow_run_ids: Collection[str]) -> dict[str, Observed]:
        """Return the state of each of these runs, `NO_RUN` where Prefect does not know it; none while it is away."""
        wanted = [flow_run_id for flow_run_id in flow_run_ids if flow_run_id]
        if not wanted:
            return {}
        known = self._asked(lambda: self._runs.states(wanted))
        return {} if self.away else dict.fromkeys(wanted, Observed(NO_RUN, "")) | known

    def _asked(self, ask: Callable[[], dict[str, Observed]]) -> dict[str, Observed]:
        if self.away:
            return {}
        try:
            return ask()
        except BlockError as error:
            log.warning("Prefect does not tell of its runs", error=str(error))
            self.away = str(error)  # a lease that has run out is told by the records alone
            return {}


def look(
    platform: Platform, prefect: Prefect, hearing: Hearing, *, thorough: bool = False, unknown: bool = True
) -> Iterator[list[Seen]]:
    """Look at the open attempts, and at others of which something is left, page by page.

    Args:
        platform: whose.
        prefect: what tells of runs.
        hearing: what silence is judged by.
        thorough: also at what was cancelled or has ended long ago, should nobody have looked then.
        unknown: also at processes of attempts that the records do not know: those must be this platform's records.
    """
    # The world first: what is there by then, the records have known before.
    alive = {attempt_id: len(found) for attempt_id, found in processes.running(platform.settings.home).items()}
    with platform.records.reading() as session:
        oldest = survey.oldest_lease(session)
    recent = hearing.now - RECENTLY_CANCELLED
    cancelled = prefect.cancelled(min(oldest, recent) if thorough and oldest else recent)
    for page in _pages(platform, survey.open_attempts):
        # The catalogue is read only where it matters: of what lives here it is known where it runs.
        local = _local_types(platform) if any(one.attempt_id not in alive for one in page) else frozenset[str]()
        yield _doubts_cleared(prefect, hearing.at(now()), [see(one, alive, cancelled, local) for one in page])
    with platform.records.reading() as session:
        again = survey.tried_again(session, cancelled)
    yield [replace(see(one, alive, cancelled), is_tried_again=True) for one in again]
    with platform.records.reading() as session:
        known = {one.attempt_id: one for one in survey.among(session, alive)}
    yield [see(one, alive, {}) for one in known.values() if one.ended_at]
    if unknown:
        yield [_unknown(attempt_id, count, hearing) for attempt_id, count in alive.items() if attempt_id not in known]
    since = None if thorough else hearing.now - RECENTLY_ENDED
    for page in () if prefect.away else _pages(platform, _unclosed(hearing, since)):
        states = prefect.states([one.flow_run_id for one in page if one.attempt_id not in alive])
        yield [see(one, alive, states) for one in page if one.attempt_id not in alive]


def _local_types(platform: Platform) -> frozenset[str]:
    """Return the instance types whose runs are processes of this machine; none while the catalogue cannot be read."""
    try:
        return frozenset(one.name for one in platform.catalogue.instance_types if one.pool == PROCESSES_HERE)
    except BlockError as error:
        log.warning("which attempts run on this machine is not known", error=str(error))
        return frozenset()


def see(
    one: Glance, alive: Mapping[str, int], states: Mapping[str, Observed], local: Collection[str] = frozenset()
) -> Seen:
    """Return an attempt as records and world show it.

    Args:
        one: what the records hold.
        alive: how many processes each attempt has here.
        states: the states of runs in Prefect, as far as they were asked for.
        local: the instance types whose runs are processes of this machine.
    """
    run = states.get(one.flow_run_id, UNASKED)
    return Seen(
        attempt_id=one.attempt_id,
        open=one.ended_at is None,
        claimed=bool(one.token_hash),
        granted_at=one.granted_at,
        beat_at=one.beat_at,
        run=run.state,
        run_since=run.since,
        processes=alive.get(one.attempt_id, 0),
        wish_is_stop=one.wish == Wish.STOP,
        ended_at=one.ended_at,
        submitted_at=one.submitted_at,
        refused="" if one.flow_run_id else one.progress,
        flow_run_id=one.flow_run_id,
        training_id=one.training_id,
        training_is_over=one.training_state in NEEDS_NO_LEASE,
        is_local=one.instance_type in local,
    )


def _unknown(attempt_id: str, live: int, hearing: Hearing) -> Seen:
    """Return an attempt of which there are only processes: its training was deleted."""
    return Seen(
        attempt_id,
        open=False,
        claimed=False,
        granted_at=hearing.now,
        beat_at=None,
        run="",
        processes=live,
        known=False,
    )


def _doubts_cleared(prefect: Prefect, hearing: Hearing, seen: Sequence[Seen]) -> list[Seen]:
    states = prefect.states([one.flow_run_id for one in seen if is_doubtful(one, hearing)])
    return [
        replace(one, run=states[one.flow_run_id].state, run_since=states[one.flow_run_id].since)
        if one.flow_run_id in states
        else one
        for one in seen
    ]


def _unclosed(hearing: Hearing, since: datetime | None) -> Callable[[Session, str], Sequence[Glance]]:
    until, ahead = hearing.now - EXIT, hearing.now + hearing.lease
    return lambda session, after: survey.unclosed(session, until, since, after, ahead=ahead)


def _pages(platform: Platform, read: Callable[[Session, str], Sequence[Glance]]) -> Iterable[Sequence[Glance]]:
    """Read page after page, each in a session of its own: a long one keeps the database from clearing up."""
    after = ""
    while True:
        with platform.records.reading() as session:
            page = read(session, after)
        yield page
        if len(page) < survey.PAGE:
            return
        after = page[-1].attempt_id
