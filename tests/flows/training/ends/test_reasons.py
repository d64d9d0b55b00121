"""From what is known of an attempt's end to a reason, and to sentences that a person can use."""

import pytest

from blocks.records.words import Phase, Reason, TrainingState, Wish
from flows.training.ends.engine_words import ENGINE
from flows.training.ends.verdict import Cause, Evidence, decide, explain, named_signal
from tests.flows.training.torchrun import raised, report

R, C = Reason, Cause
GOES_ON, FAILS = TrainingState.CREATE_IN_PROGRESS, TrainingState.FAIL_TRAIN
USER, MEMORY, PENDING = R.USER_ERROR, R.OUT_OF_MEMORY, R.PENDING_TIMEOUT
INTERRUPTED, LOST = R.INTERRUPTED, R.MACHINE_LOST
GIB = 2**30
USED = {"peak_memory_bytes": 3 * GIB // 2, "memory_limit_bytes": GIB}
LOG = [f"epoch {number}: loss 0.1" for number in range(30)]
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 139.80 GiB in all."
OLD_CUDA = CUDA.replace("torch.", "torch.cuda.")
XLA = "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 34359 bytes."
TF = """\
tensorflow.python.framework.errors_impl.ResourceExhaustedError: Graph execution error:

Detected at node MatMul defined at (most recent call last):
  File "/work/train.py", line 5, in <module>
OOM when allocating tensor with shape[9,9] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator
\t [[{{node MatMul}}]]
Hint: If you want to see a list of allocated tensors when OOM happens, add report_tensor_allocations_upon_oom."""
NUMPY = "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array"
TORCH_CPU = "RuntimeError: [enforce fail at alloc_cpu.cpp:125] DefaultCPUAllocator: can't allocate memory"
FULL = "OSError: [Errno 28] No space left on device: '/work/model/weights.pt'"
MODULE = "ModuleNotFoundError: No module named 'einops'"
LOADER = "RuntimeError: DataLoader worker (pid 17411) is killed by signal: Killed. "


def script(*lines: str, code: int = 1, **known: object) -> Evidence:
    """Return the evidence of a script that ended by itself, after these last lines."""
    return Evidence(C.EXIT, exit_code=code, last_lines=lines, **known)


def killed(**known: object) -> Evidence:
    return Evidence(C.EXIT, signal=9, **known)


def said(word: str, phase: str = "RUNNING", **known: object) -> Evidence:
    """Return the evidence of an attempt that fell silent, of which an engine says this."""
    return Evidence(C.LOST, engine=word, phase=phase, **known)


CASES = [
    # The script failed: its own last line says why.
    (script("a", "odd data", code=3), FAILS, USER, "ended with exit code 3. Its last line: odd data. Correct the"),
    (script(code=3), FAILS, USER, "The script ended with exit code 3. Correct the script, or what it was given, and"),
    (script(*raised("ValueError: bad")), FAILS, USER, "exit code 1. Its last line: ValueError: bad. Correct"),
    (script("killed", code=255), FAILS, USER, "exit code 255"),
    (script("x", oom_kills=2), FAILS, USER, "Meanwhile memory ran out (the kernel counts 2 such kills), perhaps one"),
    (script("x", engine="OOMKilled"), FAILS, USER, "Meanwhile memory ran out (the engine says OOMKilled)"),
    (script("x", engine="Error"), FAILS, USER, "exit code 1. Its last line: x."),
    (Evidence(C.EXIT, signal=11), FAILS, USER, "died from signal 11 (SIGSEGV). Correct the script"),
    (Evidence(C.EXIT, signal=15), FAILS, USER, "died from signal 15 (SIGTERM)"),
    (Evidence(C.EXIT, signal=77), FAILS, USER, "died from signal 77."),
    (Evidence(C.EXIT, signal=6, oom_kills=1), FAILS, USER, "Meanwhile memory ran out (the kernel counts 1 such kill)"),
    # Its last words say more.
    (script(*raised(MODULE)), FAILS, USER, "as it needs a module that is not there: ModuleNotFoundError: No module"),
    (script(*raised(MODULE)), FAILS, USER, "Add its package to requirements.txt beside the entry point"),
    (script(*raised(MODULE), *LOG), FAILS, USER, "Its last line: epoch 29: loss 0.1."),
    (script(*LOG, *raised(CUDA)), FAILS, MEMORY, "exit code 1, as it needed more memory than its GPU had free: torch."),
    (script(*raised(OLD_CUDA)), FAILS, MEMORY, "Use less of it (a smaller batch, shorter inputs, mixed precision)"),
    (script(*raised("RuntimeError: CUDA out of memory.")), FAILS, MEMORY, "its GPU"),
    (script(*raised("RuntimeError: CUDA error: out of memory")), FAILS, MEMORY, "its GPU"),
    (script(*raised(XLA)), FAILS, MEMORY, "its GPU had free: jaxlib"),
    (script(*raised(TF)), FAILS, MEMORY, "its GPU had free: OOM when allocating tensor with shape[9,9]"),
    (script(*raised(TF.replace("GPU:0", "CPU:0"))), FAILS, MEMORY, "as it needed more memory than there is: OOM"),
    (script(*raised(NUMPY)), FAILS, MEMORY, "7.28 TiB for an array. Choose a larger instance type"),
    (script(*raised("MemoryError")), FAILS, MEMORY, "more memory than there is: MemoryError."),
    (script(*raised(TORCH_CPU)), FAILS, MEMORY, "more memory than there is"),
    (script("CUDA out of memory", code=3), FAILS, MEMORY, "exit code 3, as it needed more memory than its GPU"),
    (script(*raised(CUDA), *LOG), FAILS, USER, "Its last line: epoch 29"),  # it survived that
    (script(*raised(CUDA), "gave up", code=3), FAILS, USER, "Its last line: gave up."),
    (script("CUDA out of memory", "gave up"), FAILS, USER, "Its last line: gave up."),
    (script(*raised("grpc.RpcError: RESOURCE_EXHAUSTED: too large")), FAILS, USER, "exit code 1. Its last line: grpc"),
    (script(*raised(FULL)), GOES_ON, R.STORAGE, "as it found its machine's disk full: OSError: [Errno 28] No space"),
    (script("cp: No space left on device"), GOES_ON, R.STORAGE, "no longer needs. It is tried again in 1 min"),
    (script(*raised(FULL), *LOG), FAILS, USER, "Its last line: epoch 29"),
    # A kill is for memory only where something tells so.
    (killed(), GOES_ON, INTERRUPTED, "The script was killed (signal 9) by something outside the platform; nothing"),
    (killed(), GOES_ON, INTERRUPTED, "Save to EM_CHECKPOINT_DIR now and then: a next attempt goes on from there. It"),
    (killed(last_lines=(CUDA,)), GOES_ON, INTERRUPTED, "signal 9"),
    (killed(oom_kills=1), FAILS, MEMORY, "killed (signal 9) when memory ran out: the kernel counts 1 such kill."),
    (killed(oom_kills=1, **USED), FAILS, MEMORY, "; up to 1.50 GiB of the instance type's 1.00 GiB were seen."),
    (killed(engine="OOMKilled"), FAILS, MEMORY, "when memory ran out: the engine says OOMKilled. Choose a larger"),
    (script(code=137), GOES_ON, INTERRUPTED, "exit code 137, as a process of it was killed (signal 9) by something"),
    (script(code=247), GOES_ON, INTERRUPTED, "exit code 247, as a process of it was killed (signal 9) by something"),
    (script(code=137, oom_kills=1), FAILS, MEMORY, "killed (signal 9) when memory ran out: the kernel"),
    (script(code=137, engine="OOMKilled"), FAILS, MEMORY, "the engine says OOMKilled"),
    (script(*raised(LOADER)), GOES_ON, INTERRUPTED, "exit code 1, as a process of it was killed (signal 9) by"),
    (script(*raised(LOADER), oom_kills=1), FAILS, MEMORY, "when memory ran out: the kernel counts 1 such kill"),
    (Evidence(C.MEMORY, signal=9, **USED), FAILS, MEMORY, "used 1.50 GiB of memory; the instance type has 1.00 GiB."),
    (Evidence(C.MEMORY, exit_code=0, **USED), FAILS, MEMORY, "Choose a larger instance type, or use less"),
    (Evidence(C.STOPPED, signal=9, oom_kills=1), GOES_ON, INTERRUPTED, "It was interrupted from outside."),
    # Torchrun exits with 1, whatever has happened: the worker that failed first counts.
    (script(*report(1, -9, 0)), GOES_ON, INTERRUPTED, "The worker of rank 1 was killed (signal 9) by something"),
    (script(*report(1, -9, 0), oom_kills=1), FAILS, MEMORY, "worker of rank 1 was killed (signal 9) when memory ran"),
    (script(*report(1, -9, 0), engine="OOMKilled"), FAILS, MEMORY, "the engine says OOMKilled"),
    (script(*report(0, 137, 1)), GOES_ON, INTERRUPTED, "rank 0 ended with exit code 137, as a process of it was"),
    (script(*report(1, -11, 0)), FAILS, USER, "The worker of rank 1 died from signal 11 (SIGSEGV)"),
    (script(*report(1, 3, 0)), FAILS, USER, "The worker of rank 1 ended with exit code 3. Correct"),
    (script(*raised("ValueError: bad", 1), *report(1, 1, 0)), FAILS, USER, "Its last line: ValueError: bad."),
    (script(*raised(CUDA, 1), *report(1, 1, 0)), FAILS, MEMORY, "of rank 1 ended with exit code 1, as it needed more"),
    (script(*raised(FULL, 1), *report(1, 1, 0)), GOES_ON, R.STORAGE, "found its machine's disk full: OSError"),
    (script(*raised(MODULE), *report(0, 1)), FAILS, USER, "Add its package to requirements.txt"),
    (script(*raised(CUDA, 0), *report(1, -9, 0)), GOES_ON, INTERRUPTED, "The worker of rank 1 was killed"),
    (script(*report(1, -9, 0), *LOG), FAILS, USER, "Its last line: epoch 29"),  # who printed it went on
    # It was told to end, or what watched it died.
    (Evidence(C.STOPPED), GOES_ON, INTERRUPTED, "It was interrupted from outside. Save to EM_CHECKPOINT_DIR now and"),
    (Evidence(C.STOPPED, phase="STAGING_IN"), GOES_ON, INTERRUPTED, "from outside while its data was staged in."),
    (Evidence(C.STOPPED, phase="RUNNING"), GOES_ON, INTERRUPTED, "from outside while its script ran."),
    (Evidence(C.ORPHANED), GOES_ON, INTERRUPTED, "The run that watched the script died, and the script was ended with"),
    # It fell silent.
    (Evidence(C.LOST), GOES_ON, LOST, "The run fell silent; its process or its machine is gone. Save to"),
    (Evidence(C.LOST, error="31 s"), GOES_ON, LOST, "its machine is gone: 31 s. Save"),
    (Evidence(C.LOST, phase="GRANTED"), GOES_ON, LOST, "fell silent before it began;"),
    (Evidence(C.LOST, phase="STAGING_IN"), GOES_ON, LOST, "fell silent while its data was staged in;"),
    (Evidence(C.LOST, phase="RUNNING"), GOES_ON, LOST, "fell silent while its script ran;"),
    (Evidence(C.LOST, phase="STAGING_OUT"), GOES_ON, LOST, "while what it made was put in its place;"),
    (Evidence(C.LOST, exit_code=1), GOES_ON, LOST, "The run fell silent"),
    (Evidence(C.LOST, exit_code=137), GOES_ON, INTERRUPTED, "The run ended with exit code 137, as a process of it was"),
    (Evidence(C.LOST, oom_kills=3), GOES_ON, LOST, "The run fell silent"),
    # An engine knows more than its silence.
    (said("Evicted"), GOES_ON, INTERRUPTED, "The engine ended it while its script ran (Evicted): its node ran short"),
    (said("PreemptionByScheduler"), GOES_ON, INTERRUPTED, "something of higher priority took its place"),
    (said("EvictionByEvictionAPI", "STAGING_IN"), GOES_ON, INTERRUPTED, "ended it while its data was staged in (Evict"),
    (said("DeletionByTaintManager"), GOES_ON, INTERRUPTED, "does not answer, or takes nothing more"),
    (said("DeletionByPodGC"), GOES_ON, INTERRUPTED, "taken out of the cluster"),
    (said("TerminationByKubelet", exit_code=143), GOES_ON, INTERRUPTED, "its node was shut down, or ran short"),
    (said("DeadlineExceeded"), GOES_ON, INTERRUPTED, "its time on the engine was over"),
    (said("Evicted", error="low on memory"), GOES_ON, INTERRUPTED, "asked for: low on memory. Save"),
    (said("NodeLost"), GOES_ON, LOST, "(NodeLost): its node does not answer any more."),
    (said("OOMKilled"), FAILS, MEMORY, "The run was killed when memory ran out: the engine says OOMKilled"),
    (said("OOMKilled", exit_code=137), FAILS, MEMORY, "when memory ran out: the engine says OOMKilled."),
    (said("OOMKilled", exit_code=1), GOES_ON, LOST, "The run fell silent"),
    (said("Preempted by aliens"), GOES_ON, LOST, "The run fell silent"),
    (script("x", engine="Evicted"), GOES_ON, INTERRUPTED, "The engine ended it (Evicted)"),
    (Evidence(C.STOPPED, engine="PreemptionByScheduler"), GOES_ON, INTERRUPTED, "(PreemptionByScheduler)"),
    (Evidence(C.MEMORY, engine="Evicted", **USED), FAILS, MEMORY, "used 1.50 GiB"),
    (Evidence(C.UNCLAIMED, engine="ImagePullBackOff"), FAILS, R.IMAGE, "did not start it (ImagePullBackOff): the"),
    (Evidence(C.UNCLAIMED, engine="ErrImagePull"), FAILS, R.IMAGE, "Choose another image, or have this one mended"),
    (Evidence(C.UNCLAIMED, engine="InvalidImageName"), FAILS, R.IMAGE, "the image's name is not one"),
    (said("ContainerCannotRun", "GRANTED"), FAILS, R.IMAGE, "the image has not what the platform starts in it"),
    (said("CreateContainerConfigError", "GRANTED"), GOES_ON, R.PLATFORM, "is not there. `emf status` shows"),
    (Evidence(C.UNCLAIMED, engine="Unschedulable"), GOES_ON, PENDING, "no node has room for what its instance type"),
    # Its steps say themselves how they ended, whatever the engine did then.
    (Evidence(C.REQUIREMENTS, error="no x"), FAILS, USER, "requirements.txt did not install: no x. Correct that file"),
    (Evidence(C.REQUIREMENTS, engine="Evicted"), FAILS, USER, "did not install. Correct that file"),
    (Evidence(C.DATA, error="no /d"), FAILS, R.DATA, "could not be staged in: no /d. Correct the path, or ask for"),
    (Evidence(C.STORAGE, error="away"), GOES_ON, R.STORAGE, "brought to its machine: away. See that its place answers"),
    (Evidence(C.OUTPUT, error="It is kept."), FAILS, R.STORAGE, "What it made could not be put in its place: It is"),
    (Evidence(C.IMAGE, error="no torch"), FAILS, R.IMAGE, "The image's environment could not be made: no torch."),
    (Evidence(C.PLATFORM, error="KeyError"), GOES_ON, R.PLATFORM, "failed, not the script: KeyError. `emf status`"),
    (Evidence(C.PLATFORM, engine="Evicted"), GOES_ON, INTERRUPTED, "The engine ended it (Evicted)"),
    (Evidence(C.UNCLAIMED, error="no worker"), GOES_ON, PENDING, "did not begin in time: no worker. `emf status`"),
]


@pytest.mark.parametrize(("evidence", "state", "reason", "words"), CASES)
def test_what_is_known_becomes_a_reason_and_words(evidence: Evidence, state: TrainingState, reason: Reason, words: str):
    """Each kind of end, the first time: whether it is tried again, for what reason, and what a person reads."""
    verdict = decide(evidence, Wish.NONE)
    assert (verdict.state, verdict.reason) == (state, reason)
    assert words in verdict.message


@pytest.mark.parametrize("evidence", [case[0] for case in CASES])
def test_sentences_are_whole(evidence: Evidence):
    """Each begins with a capital letter and ends with a full stop; nothing stands twice, nothing is left open."""
    message = decide(evidence, Wish.NONE).message
    assert message[0].isupper()
    assert message.endswith(".")
    assert not any(odd in message for odd in ("..", ": .", ":.", "  ", "None", "()", "{", " ,"))


@pytest.mark.parametrize("cause", [c for c in C if c not in (C.EXIT, C.MEMORY, C.CANCELLED, C.DEADLINE)])
def test_the_error_is_told_as_it_was(cause: Cause):
    """Words with braces or percent signs come through unchanged, for whoever looks for their cause."""
    assert "No {such} 100% thing" in explain(Evidence(cause, error="No {such} 100% thing"))[1]


@pytest.mark.parametrize("word", list(ENGINE))
@pytest.mark.parametrize("phase", ["", *Phase])
def test_every_word_of_an_engine_has_a_reason_and_stands_in_the_sentence(word: str, phase: str):
    """Whatever the attempt was doing; the reason is one that an engine can be at the bottom of."""
    reason, message = explain(Evidence(C.LOST, engine=word, phase=phase))
    assert f"({word}): " in message
    assert reason in (R.INTERRUPTED, R.MACHINE_LOST, R.IMAGE, R.PENDING_TIMEOUT, R.PLATFORM)


def test_a_long_line_does_not_bury_what_to_do():
    """Of a line of thousands of characters the beginning stands in the sentence; all of it is in the last lines."""
    message = explain(script("x" * 2000, code=3))[1]
    assert len(message) < 600
    assert message.endswith("Correct the script, or what it was given, and copy the training.")


def test_signals_are_named():
    """By number and name, where there is one."""
    assert (named_signal(9), named_signal(77)) == ("9 (SIGKILL)", "77")
