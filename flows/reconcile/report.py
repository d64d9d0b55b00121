"""How a round of reconcile went, and what was repaired last: the same on the board, the page and in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from blocks.platform import Platform
from blocks.records import repairs, survey
from flows.reconcile.difference import Failure
from flows.reconcile.findings import Finding, Repair

LINES = 50
Line = Mapping[str, Any]


@dataclass
class Report:
    """How a round went.

    Attributes:
        at: when it began.
        seconds: how long it took.
        attempts: how many were looked at.
        found: what differed.
        failed: what of that could not be put right, and why; what is done aside may still add to it.
        unseen: what could not be looked at, and why.
    """

    at: datetime
    seconds: float = 0.0
    attempts: int = 0
    found: list[Finding] = field(default_factory=list[Finding])
    failed: list[Failure] = field(default_factory=list[Failure])
    unseen: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {
            "at": self.at.isoformat(),
            "seconds": round(self.seconds, 2),
            "attempts": self.attempts,
            "found": [_line(finding) for finding in self.found],
            "failed": [{**_line(one.finding), "why": one.why} for one in self.failed],
            "unseen": self.unseen,
        }


def _line(finding: Finding) -> Line:
    return {
        "subject": finding.subject,
        "training": finding.training_id,
        "repair": finding.repair.value,
        "what": finding.told,
    }


def done(report: Mapping[str, Any]) -> Sequence[Line]:
    """Return what a round put right, or would put right: without what failed, and what is left to a person."""
    failed = [{key: one[key] for key in one if key != "why"} for one in report["failed"]]
    return [one for one in report["found"] if one not in failed and one["repair"] != Repair.ASK]


def left(report: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return what a round left, each with what is the matter with it: not put right, for a person, not looked at."""
    failed = [f"{one['subject']} ({one['repair']}): {one['what']}; {one['why']}" for one in report["failed"]]
    asked = [f"{one['subject']}: {one['what']}" for one in report["found"] if one["repair"] == Repair.ASK]
    told = {"not put right": failed, "for a person": asked, "not looked at": report["unseen"]}
    return [(matter, one) for matter, ones in told.items() for one in ones]


def repaired(platform: Platform, limit: int = LINES) -> Sequence[Line]:
    """Return the last repairs, newest first; `training` is empty where there is none to open any more."""
    with platform.records.reading() as session:
        rows = repairs.newest(session, limit)
        known = survey.trainings_among(session, {row.training_id for row in rows if row.training_id})
    return [
        {
            "time": row.time.isoformat(),
            "subject": row.subject,
            "training": row.training_id if row.training_id in known else "",
            "repair": row.repair,
            "what": row.what,
        }
        for row in rows
    ]
