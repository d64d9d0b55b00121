"""What the pools answer when they could not do what they were asked."""

from blocks.errors import Permanent, Temporary


class PrefectAway(Temporary):
    """Prefect's server does not answer."""


class NotDeployed(Permanent):
    """No such deployment on this Prefect server."""


class RunRefused(Permanent):
    """Prefect refuses what it was asked for a run; the message has its words."""


class EnvironmentBroken(Permanent):
    """An image's environment could not be made; the message has the installer's own words."""
