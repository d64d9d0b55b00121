"""What there is to say of an attempt's end: the pieces of its sentences, and what to do about each reason."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from blocks.records.words import Phase, Reason
from flows.training.ends.evidence import Cause

COPY = "and copy the training"
LESS_MEMORY = "Choose a larger instance type, or use less (a smaller batch, fewer loader workers)."
SAVE = "Save to EM_CHECKPOINT_DIR now and then: a next attempt goes on from there."
SAVE_SOMEWHERE = f"Give it a checkpoint path. {SAVE}"
SAVE_MORE = "What is saved more often loses less."

ADVICE: Mapping[Reason, str] = {
    Reason.USER_ERROR: f"Correct the script, or what it was given, {COPY}.",
    Reason.OUT_OF_MEMORY: LESS_MEMORY,
    Reason.IMAGE: f"Choose another image, or have this one mended, {COPY}.",
    Reason.DATA: f"Correct the path, or ask for more data storage, {COPY}.",
    Reason.STORAGE: "See that its place answers and that the machine's disk has room.",
    Reason.PENDING_TIMEOUT: "`emf status` shows whether workers run; a smaller instance type may find a place.",
    Reason.PLATFORM: "`emf status` shows which part of the platform is not well.",
}
"""What to do, where a sentence knows nothing better; against the loss of work, what a training saves decides."""

WHILE: Mapping[str, str] = {
    Phase.GRANTED: " before it began",
    Phase.STAGING_IN: " while its data was staged in",
    Phase.RUNNING: " while its script ran",
    Phase.STAGING_OUT: " while what it made was put in its place",
}


@dataclass(frozen=True)
class Meaning:
    """A reason, what happened, and what to do about it."""

    reason: Reason
    what: str
    advice: str


STEPS: Mapping[Cause, Meaning] = {
    Cause.REQUIREMENTS: Meaning(
        Reason.USER_ERROR,
        "The packages of requirements.txt did not install",
        f"Correct that file beside the entry point, {COPY}.",
    ),
    Cause.DATA: Meaning(Reason.DATA, "What the training reads could not be staged in", ADVICE[Reason.DATA]),
    Cause.STORAGE: Meaning(
        Reason.STORAGE, "What the training reads could not be brought to its machine", ADVICE[Reason.STORAGE]
    ),
    # Its error says what to do: where the model is kept, and what sends it from there.
    Cause.OUTPUT: Meaning(Reason.STORAGE, "What it made could not be put in its place", ""),
    Cause.IMAGE: Meaning(Reason.IMAGE, "The image's environment could not be made", ADVICE[Reason.IMAGE]),
    Cause.PLATFORM: Meaning(Reason.PLATFORM, "The platform failed, not the script", ADVICE[Reason.PLATFORM]),
    Cause.UNCLAIMED: Meaning(Reason.PENDING_TIMEOUT, "Its run did not begin in time", ADVICE[Reason.PENDING_TIMEOUT]),
}
"""What a run tells of the steps around its script, and what is told of a run that never came."""

WORDS: Mapping[re.Pattern[str], Meaning] = {
    re.compile(
        r"torch\.(?:cuda\.)?OutOfMemoryError|cupy\S*OutOfMemoryError|(?:CUDA|HIP|XPU)(?: error:)? out of memory"
        r"|RESOURCE_EXHAUSTED: Out of memory while trying to allocate"
        r"|OOM when allocating(?!.*(?:device:CPU|allocator cpu))"
    ): Meaning(
        Reason.OUT_OF_MEMORY,
        "needed more memory than its GPU had free",
        "Use less of it (a smaller batch, shorter inputs, mixed precision), or choose a type with a larger GPU.",
    ),
    re.compile(
        r"^(?:numpy\S*\._Array)?MemoryError\b|DefaultCPUAllocator: |OOM when allocating|Cannot allocate memory"
        r"|RESOURCE_EXHAUSTED: Out of memory allocating"
    ): Meaning(Reason.OUT_OF_MEMORY, "needed more memory than there is", LESS_MEMORY),
    re.compile(r"No space left on device"): Meaning(
        Reason.STORAGE,
        "found its machine's disk full",
        "Free some room there, or have the script write less and remove what it no longer needs.",
    ),
    re.compile(r"^ModuleNotFoundError: "): Meaning(
        Reason.USER_ERROR,
        "needs a module that is not there",
        f"Add its package to requirements.txt beside the entry point, where a module of your own lies too, {COPY}.",
    ),
}
"""What the words that ended a script say by themselves: the first that fits one of their lines."""


def text(what: str, error: str, advice: str) -> str:
    """Return what happened, by what that is known, and what to do about it, as whole sentences."""
    told = f"{what}: {error.strip()}" if error.strip() else what
    return f"{told if told.endswith(('.', '!', '?')) else f'{told}.'} {advice}".rstrip()
