"""What torchrun 2.13 prints when a worker fails, line by line; `tests/images` compares it with the real one."""

from collections.abc import Sequence
from signal import Signals

RUN = """\
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "<frozen runpy>", line 88, in _run_code
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/run.py", line 1032, in <module>
    main()
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/elastic/errors/__init__.py", line 367
    return f(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/run.py", line 1019, in run
    elastic_launch(
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/environments/pytorch/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: """.splitlines()
LOG = "1130 09:31:16.534000 5168 torch/distributed/elastic/multiprocessing/api.py:1002]"


def report(root: int, exit_code: int, *others: int, traceback: str = "") -> list[str]:
    """Return all that torchrun prints: of the worker that failed first, and of others that it ended.

    Args:
        root: the rank of the one that failed first.
        exit_code: how that one ended; negative: by that signal.
        others: ranks of those that were ended for it.
        traceback: what the first has recorded, where it uses torch's decorator.
    """
    ended = [f"W{LOG} Sending process {5246 + rank} closing signal SIGTERM" for rank in others]
    failed = f"E{LOG} failed (exitcode: {exit_code}) local_rank: {root} (pid: {5246 + root}) of binary: /bin/python"
    border, section = "=" * 60, "-" * 60
    rest = [line for number, rank in enumerate(others, 1) for line in _failure(number, rank, -15)]
    return [
        *ended,
        failed,
        *RUN,
        border,
        "/work/images/launcher/script.py FAILED",
        section,
        "Failures:",
        *(rest or ["  <NO_OTHER_FAILURES>"]),
        section,
        "Root Cause (first observed failure):",
        *_failure(0, root, exit_code, traceback),
        border,
    ]


def _failure(number: int, rank: int, exit_code: int, traceback: str = "") -> Sequence[str]:
    name = f" ({Signals(-exit_code).name})" if exit_code < 0 else ""
    told = "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"
    if exit_code < 0:
        told = f"Signal {-exit_code} ({Signals(-exit_code).name}) received by PID {5246 + rank}"
    return [
        f"[{number}]:",
        "  time      : 2026-11-30_09:31:16",
        "  host      : localhost",
        f"  rank      : {rank} (local_rank: {rank})",
        f"  exitcode  : {exit_code} (pid: {5246 + rank}) {name}",
        "  error_file: <N/A>",
        *f"  traceback : {traceback or told}".replace("\n", "\n  ").split("\n"),
    ]


def raised(error: str, rank: int | None = None) -> list[str]:
    """Return the traceback of an exception, as Python prints it, or torch where a worker knows its rank."""
    prefix = "" if rank is None else f"[rank{rank}]: "
    frames = ["Traceback (most recent call last):", '  File "/work/train.py", line 8, in <module>', "    main()"]
    return [f"{prefix}{line}" for line in [*frames, *error.split("\n")]]
