"""What the records answer when they could not do what was asked."""

from blocks.errors import Permanent, Temporary


class RecordError(Permanent):
    """A request that the records refuse; the message is for the person who asked."""


class NotFound(RecordError):
    """No record has that name or id."""


class Ambiguous(RecordError):
    """Several records have that name; the message lists their ids."""


class NameTaken(RecordError):
    """A record of that kind already has this name."""


class KeyReused(RecordError):
    """The request key belongs to another request."""


class NotAllowed(RecordError):
    """The state it is in does not allow this; nothing was changed."""


class InUse(RecordError):
    """Something else still needs it; the message says what."""


class Fenced(RecordError):
    """This attempt was given up or has ended: nothing it says counts any more."""


class ClaimedTwice(Fenced):
    """Another run holds this attempt, and yet the caller knows the code."""


class BadValue(RecordError):
    """The database cannot hold a value that it was given."""


class NotUnderstood(RecordError):
    """The database refuses a statement of ours: no other values would help, its operator may."""


class RecordsAway(Temporary):
    """The database is locked or does not answer."""


class Conflict(Temporary):
    """Something that was written in the same moment stands in the way; asked again, the answer says what."""
