"""What differs between the records and the world, found without I/O: which attempts are dead, and why.

What is looked at less often (folders, environments, runs of nobody) is found where it is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from blocks.run_states import CANCELLED, OVER
from flows.reconcile.hearing import Hearing
from flows.training.ends.verdict import Cause

# Both hold only for runs that are processes of this machine; of others nothing is seen here.
LEASE_WITHOUT_LIFE = timedelta(seconds=8)  # no process of it is left, so there is nothing to wait for
TAKEN = timedelta(seconds=20)  # from a worker's taking a run until its process is there
CLAIM = timedelta(minutes=10)  # from a run's submission, or from the lease of one that nobody takes
FORGOTTEN = timedelta(minutes=30)  # for which a lease is submitted again whose run Prefect does not know
EXIT = timedelta(seconds=30)  # a run that has just told its end clears up, tells Prefect, and exits by itself
NO_RUN = "unknown to Prefect"


class Repair(StrEnum):
    """What is to be done about a finding."""

    END = "end"  # end the attempt, by its cause
    STOP = "stop"  # a person cancelled the run in Prefect: that is a wish to stop
    SUBMIT = "submit again"  # Prefect does not know the run of an attempt that nobody has claimed
    RELEASE = "release"  # a lease whose training needs none any more
    KILL = "end processes"  # that no open attempt wants
    CLOSE_RUN = "close run"  # Prefect takes a run for alive whose attempt has ended
    END_TRACKED = "end MLflow run"  # MLflow takes a run for alive whose training has ended
    FAIL = "fail"  # a creation that died on the way
    TIDY = "tidy"  # the folder of an attempt that has ended: what is worth it is kept, then it goes
    REMOVE = "remove"  # files of nobody
    ASK = "for a person"  # what nobody else may decide on


@dataclass(frozen=True)
class Seen:
    """One attempt, as the records and the world show it.

    `run` is the type of its flow run's state in Prefect (`RUNNING`, …), `NO_RUN` where Prefect has none of that id, and
    empty where Prefect was not asked or did not answer; `refused` says why no run could be submitted, empty where that
    was not refused. `run_since` is since when its run is in that state. `is_local` says whether its run would be
    processes of this machine: where another pool has it, that none of it lives here tells nothing. `is_tried_again`
    says that it has ended, and its training waits for its next attempt, or for that to run.
    """

    attempt_id: str
    open: bool
    claimed: bool
    granted_at: datetime
    beat_at: datetime | None
    run: str
    processes: int
    wish_is_stop: bool = False
    ended_at: datetime | None = None
    submitted_at: datetime | None = None
    refused: str = ""
    flow_run_id: str = ""
    training_id: str = ""
    training_is_over: bool = False
    known: bool = True
    run_since: datetime | None = None
    is_local: bool = True
    is_tried_again: bool = False

    @property
    def is_lifeless(self) -> bool:
        """Whether its processes would be here, and none is."""
        return self.is_local and not self.processes

    @property
    def heard_at(self) -> datetime:
        """When it was last heard of: its beat, or, before it is claimed, what was done for it."""
        return (self.beat_at if self.claimed else self.submitted_at) or self.granted_at


@dataclass(frozen=True)
class Finding:
    """One difference, and its repair.

    Attributes:
        subject: what differs: an attempt, a run, a folder.
        repair: what is to be done.
        what: what differs, for a person.
        training_id: whom it concerns, if anybody.
        cause: what ended an attempt.
    """

    subject: str
    repair: Repair
    what: str
    training_id: str = ""
    cause: Cause | None = None

    @property
    def told(self) -> str:
        """What differs, with its cause."""
        return f"{self.cause}: {self.what}" if self.cause else self.what


Said = tuple[Repair, str, Cause | None]


def find(seen: Sequence[Seen], hearing: Hearing) -> list[Finding]:
    """Return what has to be repaired now."""
    return [finding for attempt in seen if (finding := _look(attempt, hearing)) is not None]


def is_doubtful(seen: Seen, hearing: Hearing) -> bool:
    """Say whether Prefect has to be asked for the run of an open attempt: nobody runs it yet, or it is silent."""
    return not seen.run and (not seen.claimed or hearing.silence(seen.heard_at) > LEASE_WITHOUT_LIFE)


def _look(seen: Seen, hearing: Hearing) -> Finding | None:
    if seen.open:
        said = _look_at_claimed(seen, hearing) if seen.claimed else _look_at_unclaimed(seen, hearing)
        if seen.training_is_over:
            said = (Repair.RELEASE, "it holds a lease although its training has ended", None)
    else:
        said = _look_at_ended(seen, hearing)
    if said is None:
        return None
    repair, what, cause = said
    return Finding(seen.attempt_id, repair, what, seen.training_id, cause)


def _look_at_ended(seen: Seen, hearing: Hearing) -> Said | None:
    if seen.is_tried_again and seen.run in CANCELLED:
        # It was told of the signal alone: it could not ask Prefect whose that was. We close no such run as cancelled.
        return Repair.STOP, "its run was cancelled in Prefect, and yet it is to be tried again", None
    if seen.ended_at and hearing.age(seen.ended_at) < EXIT:
        return None
    if seen.processes:
        whose = "that has ended" if seen.known else "that the records do not know"
        return Repair.KILL, f"{seen.processes} process(es) live of an attempt {whose}", None
    if seen.run and seen.run != NO_RUN and seen.run not in OVER:
        return Repair.CLOSE_RUN, f"Prefect shows the run of an attempt that has ended as {seen.run}", None
    return None


def _look_at_claimed(seen: Seen, hearing: Hearing) -> Said | None:
    silent, cancelled = hearing.silence(seen.heard_at), seen.run in CANCELLED
    # What Prefect says ends nobody sooner: of a run that lives on it may hear nothing, and take it for crashed.
    dead = silent > hearing.lease or (silent > LEASE_WITHOUT_LIFE and seen.is_lifeless)
    if dead and cancelled:
        return Repair.END, "its run was cancelled in Prefect", Cause.CANCELLED
    if dead:
        live = f"{seen.processes} process(es) of it live" if seen.processes else "no process of it lives"
        life = f", and {live} on this machine" if seen.processes or seen.is_local else ""
        shown = "" if seen.run in ("", NO_RUN) else f"; Prefect shows its run as {seen.run}"
        what = f"it has been silent for {hearing.age(seen.heard_at).total_seconds():.0f} s{life}{shown}"
        return Repair.END, what, Cause.LOST
    if cancelled and not seen.wish_is_stop:
        return Repair.STOP, "its run was cancelled in Prefect", None
    return None


def _look_at_unclaimed(seen: Seen, hearing: Hearing) -> Said | None:
    if said := _gone_before_it_began(seen, hearing):
        return said
    if seen.wish_is_stop:  # nothing runs that would obey; from here no run can claim it
        return Repair.END, "it was asked to stop before a run came for it", Cause.STOPPED
    if seen.run == NO_RUN and hearing.age(seen.granted_at) <= FORGOTTEN:
        return Repair.SUBMIT, "Prefect does not know the run that was submitted for it", None
    waited = hearing.silence(seen.heard_at)
    if waited <= CLAIM or not (seen.submitted_at or seen.refused):
        return None  # one that waits for Prefect to take its run has had no try yet, and keeps its place
    minutes = int(waited.total_seconds()) // 60
    what = f"no worker came in {minutes} min" if seen.submitted_at else f"after {minutes} min it still {seen.refused}"
    return Repair.END, what, Cause.UNCLAIMED


def _gone_before_it_began(seen: Seen, hearing: Hearing) -> Said | None:
    if seen.run in CANCELLED:
        return Repair.END, "its run was cancelled in Prefect", Cause.CANCELLED
    if seen.run in OVER:
        return Repair.END, f"its run ended as {seen.run} before it began", Cause.LOST
    taken_at = seen.run_since if seen.run in ("PENDING", "RUNNING") else None
    if taken_at and seen.is_lifeless and min(map(hearing.silence, (seen.heard_at, taken_at))) > TAKEN:
        return Repair.END, f"a worker took its run, which is {seen.run}, and no process of it lives here", Cause.LOST
    return None
