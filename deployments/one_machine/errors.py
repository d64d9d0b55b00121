"""Why the platform could not be put on this machine, or taken from it; each message says what to do."""

from blocks.errors import Temporary


class OneMachineError(Exception):
    """Any error of this room; the message is for the person at the terminal."""


class PortTaken(OneMachineError):
    """Ports that parts need are held by others."""


class PartFailed(OneMachineError):
    """A part did not start, or did not become healthy in time."""


class CannotStart(OneMachineError):
    """The machine or a folder lacks something that the platform needs."""


class SupervisordSilent(OneMachineError):
    """supervisord is there, and does not answer in time."""


class SettingsChanged(OneMachineError):
    """The platform runs with other settings than it would be started with now."""


class Busy(OneMachineError):
    """Another `emf up` or `emf down` of this platform is at work."""


class StillRunning(OneMachineError):
    """Processes of the platform could not be ended."""


class DeployFailed(OneMachineError):
    """Prefect did not take the flows or the work pools."""


class PrefectBusy(DeployFailed, Temporary):
    """Prefect was away, or its database locked: asking again helps."""
