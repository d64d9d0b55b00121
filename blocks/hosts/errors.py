"""What a host answers when it could not do what it was asked."""

from blocks.errors import BlockError, Permanent, Temporary


class HostError(BlockError):
    """Any error of this room."""


class BadService(HostError, Permanent):
    """The service as described cannot run; the message names the field and the value, never an environment value."""


class HostAway(HostError, Temporary):
    """The host does not answer, or could not finish in time: asking again may help."""


class NoFreePort(HostError, Temporary):
    """Every port of the range is taken now."""
