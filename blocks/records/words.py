"""The closed lists of words: states, reasons, wishes, phases. Stored and shown as written here."""

from enum import StrEnum


class ExperimentState(StrEnum):
    """Where an experiment is in its life."""

    CREATE_REQUESTED = "CREATE_REQUESTED"
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    ACTIVE = "ACTIVE"
    CREATE_FAILED = "CREATE_FAILED"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_FAILED = "DELETE_FAILED"


class TrainingState(StrEnum):
    """Where a training is in its life."""

    CREATE_REQUESTED = "CREATE_REQUESTED"
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    RUNNING = "RUNNING"
    COMPLETE_IN_PROGRESS = "COMPLETE_IN_PROGRESS"
    COMPLETE = "COMPLETE"
    STOP_IN_PROGRESS = "STOP_IN_PROGRESS"
    STOPPED = "STOPPED"
    FAIL_TRAIN_IN_PROGRESS = "FAIL_TRAIN_IN_PROGRESS"
    FAIL_TRAIN = "FAIL_TRAIN"
    CREATE_FAILED = "CREATE_FAILED"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_FAILED = "DELETE_FAILED"


class Reason(StrEnum):
    """Why something ended."""

    USER = "USER"
    USER_ERROR = "USER_ERROR"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    INTERRUPTED = "INTERRUPTED"
    MACHINE_LOST = "MACHINE_LOST"
    IMAGE = "IMAGE"
    DATA = "DATA"
    STORAGE = "STORAGE"
    MAX_TRAINING_TIME = "MAX_TRAINING_TIME"
    PENDING_TIMEOUT = "PENDING_TIMEOUT"
    PLATFORM = "PLATFORM"


class Wish(StrEnum):
    """What a person, or the platform, wants of a running attempt; the attempt obeys at its next beat."""

    NONE = ""
    STOP = "STOP"  # for good: the training ends STOPPED
    SUSPEND = "SUSPEND"  # for now: the machine goes down, the training goes on in a next attempt


class Phase(StrEnum):
    """How far an attempt has come."""

    GRANTED = "GRANTED"  # holds its lease, not yet claimed by a run
    STAGING_IN = "STAGING_IN"
    RUNNING = "RUNNING"
    STAGING_OUT = "STAGING_OUT"
    ENDED = "ENDED"


TERMINAL = frozenset(
    {TrainingState.COMPLETE, TrainingState.STOPPED, TrainingState.FAIL_TRAIN, TrainingState.CREATE_FAILED}
)
"""A training in one of these runs nothing and may be deleted."""
