"""Why an attempt ended that nobody wished to end: a reason from the closed list, and sentences for a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from signal import Signals

from blocks.records.words import Reason
from flows.training.ends.engine_words import ENGINE, OOM_KILLED
from flows.training.ends.evidence import Cause, Evidence, cut
from flows.training.ends.last_words import Said, read
from flows.training.ends.sentences import ADVICE, LESS_MEMORY, SAVE, STEPS, WHILE, WORDS, text

Explained = tuple[Reason, str]

# A shell, and a Python parent, pass a child's death by SIGKILL on as these: no script means to end with them, and one
# that did would be tried again in vain three times, where the user's error would cost hours of work that was killed.
KILLED = frozenset({128 + Signals.SIGKILL, 256 - Signals.SIGKILL})
LOADER_KILLED = "is killed by signal: Killed"  # PyTorch's words for a worker process of its data loader
OWN_STEPS = STEPS.keys() - {Cause.PLATFORM, Cause.UNCLAIMED}  # of these the run itself knows best how they ended
LINE_CHARACTERS = 400  # of a script's line within a sentence


@dataclass(frozen=True)
class End:
    """An end, and what its last words say: where torchrun ran the script, the worker that failed first counts.

    `saving` is what to do against the loss of work.
    """

    evidence: Evidence
    said: Said
    saving: str = SAVE

    def advice(self, reason: Reason) -> str:
        """What to do; against the loss of work, what fits to what this training saves."""
        return self.saving if reason in (Reason.INTERRUPTED, Reason.MACHINE_LOST) else ADVICE[reason]

    @property
    def exit_code(self) -> int | None:
        """What it ended with."""
        return self.said.worker.exit_code if self.said.worker else self.evidence.exit_code

    @property
    def signal(self) -> int | None:
        """What it died from."""
        return self.said.worker.signal if self.said.worker else self.evidence.signal

    @property
    def who(self) -> str:
        """Whose end it is, as a sentence begins."""
        if self.said.worker:
            return f"The worker of rank {self.said.worker.rank}"
        return "The run" if self.evidence.cause == Cause.LOST else "The script"

    @property
    def was_killed(self) -> bool:
        """Whether somebody else killed it, or a process of it: what takes no notice of a stop is killed by us."""
        if self.evidence.cause not in (Cause.EXIT, Cause.LOST):
            return False
        return self.signal == Signals.SIGKILL or self.exit_code in KILLED or LOADER_KILLED in self.said.words

    @property
    def how(self) -> str:
        """How it ended, without a full stop."""
        if self.signal == Signals.SIGKILL:
            return f"{self.who} was killed (signal 9)"
        if self.signal:
            return f"{self.who} died from signal {named_signal(self.signal)}"
        ended = f"{self.who} ended with exit code {self.exit_code}"
        return f"{ended}, as a process of it was killed (signal 9)" if self.was_killed else ended

    @property
    def memory_ran_out(self) -> str:
        """By what it is known that memory ran out; empty where nothing tells it."""
        if self.evidence.engine == OOM_KILLED:
            return f"the engine says {OOM_KILLED}"
        kills = self.evidence.oom_kills
        return f"the kernel counts {kills} such kill{'s' if kills > 1 else ''}" if kills else ""


def how_it_ended(evidence: Evidence) -> str:
    """Return how a script ended, without a full stop; an empty text where nobody saw it."""
    end = End(evidence, read(evidence.last_lines, evidence.exit_code))
    return "" if end.exit_code is None and end.signal is None else end.how


def explain(evidence: Evidence, saving: str = SAVE) -> Explained:
    """Return the reason of an end that nobody wished for, and what happened, how that is known, what to do about it.

    `saving` is what to do against the loss of work.
    """
    said = read(evidence.last_lines, evidence.exit_code) if evidence.cause == Cause.EXIT else Said()
    end = End(evidence, said, saving)
    return next(found for judge in JUDGES if (found := judge(end)) is not None)


def _out_of_memory(end: End) -> Explained | None:
    used, limit = (size / 2**30 for size in (end.evidence.peak_memory_bytes, end.evidence.memory_limit_bytes))
    if end.evidence.cause == Cause.MEMORY:
        what = f"The script and its processes used {used:.2f} GiB of memory; the instance type has {limit:.2f} GiB"
        return Reason.OUT_OF_MEMORY, text(what, "", LESS_MEMORY)
    is_unseen = end.evidence.cause == Cause.LOST and end.signal is None and end.exit_code is None
    if end.evidence.engine == OOM_KILLED and is_unseen:
        return Reason.OUT_OF_MEMORY, text("The run was killed when memory ran out", end.memory_ran_out, LESS_MEMORY)
    # Kills are counted in a group that other processes may share: they are the script's only where it was killed.
    if not (end.was_killed and end.memory_ran_out):
        return None
    figures = f"; up to {used:.2f} GiB of the instance type's {limit:.2f} GiB were seen" if used and limit else ""
    return Reason.OUT_OF_MEMORY, text(f"{end.how} when memory ran out", end.memory_ran_out + figures, LESS_MEMORY)


def _engine(end: End) -> Explained | None:
    word = end.evidence.engine
    if word not in ENGINE or end.evidence.cause in OWN_STEPS:
        return None
    reason, meaning = ENGINE[word]
    had_begun = reason in (Reason.INTERRUPTED, Reason.MACHINE_LOST)
    ended = f"ended it{WHILE.get(end.evidence.phase, '')}" if had_begun else "did not start it"
    return reason, text(f"The engine {ended} ({word}): {meaning}", end.evidence.error, end.advice(reason))


def _killed(end: End) -> Explained | None:
    if not end.was_killed:
        return None
    what = f"{end.how} by something outside the platform; nothing tells that memory ran out"
    return Reason.INTERRUPTED, text(what, end.evidence.error, end.saving)


def _interrupted(end: End) -> Explained | None:
    if end.evidence.cause == Cause.ORPHANED:
        what = "The run that watched the script died, and the script was ended with it"
        return Reason.INTERRUPTED, text(what, end.evidence.error, end.saving)
    if end.evidence.cause not in (Cause.STOPPED, Cause.CANCELLED, Cause.DEADLINE):
        return None
    what = f"It was interrupted from outside{WHILE.get(end.evidence.phase, '')}"
    return Reason.INTERRUPTED, text(what, end.evidence.error, end.saving)


def _step(end: End) -> Explained | None:
    step = STEPS.get(end.evidence.cause)
    return None if step is None else (step.reason, text(step.what, end.evidence.error, step.advice))


def _lost(end: End) -> Explained | None:
    if end.evidence.cause != Cause.LOST:
        return None
    what = f"The run fell silent{WHILE.get(end.evidence.phase, '')}; its process or its machine is gone"
    return Reason.MACHINE_LOST, text(what, end.evidence.error, end.saving)


def _script(end: End) -> Explained:
    for pattern, meaning in WORDS.items():
        line = next((line for line in end.said.words.splitlines() if pattern.search(line)), None)
        if line is not None:
            what = f"{end.how}, as it {meaning.what}"
            return meaning.reason, text(what, cut(line.strip(), LINE_CHARACTERS), meaning.advice)
    # A kill that is not its own end may have been of one of its processes.
    beside = f" Meanwhile memory ran out ({end.memory_ran_out}), perhaps one of its own." if end.memory_ran_out else ""
    what = f"{end.how}.{beside} Its last line" if end.said.line else f"{end.how}.{beside}"
    return Reason.USER_ERROR, text(what, cut(end.said.line, LINE_CHARACTERS), ADVICE[Reason.USER_ERROR])


JUDGES: Sequence[Callable[[End], Explained | None]] = (
    _out_of_memory,
    _engine,
    _killed,
    _interrupted,
    _step,
    _lost,
    _script,
)
"""Who is asked in turn; the first that knows the reason has found it."""


def named_signal(number: int) -> str:
    """Return a signal's number and, where it has one, its name: `11 (SIGSEGV)`."""
    known = {signal.value: signal.name for signal in Signals}
    return f"{number} ({known[number]})" if number in known else str(number)
