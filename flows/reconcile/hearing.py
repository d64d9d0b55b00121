"""What silence is judged by, and what a moment in the records is worth after this machine's clock was set."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Hearing:
    """What silence is judged by.

    Attributes:
        now: when the look began.
        since: since when the door is open; nobody is blamed for silence before that, nor while it is shut (None).
        lease: how long one may be silent; an instance beats every two seconds.
        read_at: when what is judged was read, where that was later: it may hold what came after `now`.
    """

    now: datetime
    since: datetime | None
    lease: timedelta
    read_at: datetime | None = None

    def at(self, moment: datetime) -> "Hearing":
        """Return the same for what has been read by this moment."""
        # A clock that is set back in the middle of a look would make all that live look dead: the next look sees it.
        return replace(self, read_at=max(moment, self.now))

    def silence(self, heard: datetime) -> timedelta:
        """Return for how long one that was heard of then has been silent, as far as anybody listened."""
        return min(self.age(heard), self._listening)

    def age(self, moment: datetime) -> timedelta:
        """Return how long ago a moment was.

        One that lies more than a lease ahead was noted before the clock was set back, and nobody knows when: it counts
        as when the listening began. A little ahead is only what was noted since the look began.
        """
        is_ahead = moment - (self.read_at or self.now) > self.lease
        return self._listening if is_ahead else self.now - moment

    @property
    def _listening(self) -> timedelta:
        return self.now - (self.since or self.now)
