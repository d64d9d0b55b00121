"""Run an installer: hand on what it says line by line, and leave nothing of it running, whatever happens."""

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from blocks.pools.processes import end_all

TICK_SECONDS = 0.2
GRACE_SECONDS = 3.0
PIECE_BYTES = 65536
LAST_LOOKS = 5
# What an installer may see of this process's environment: never the platform's own keys.
ALLOWED = frozenset(
    {
        *(
            "PATH",
            "HOME",
            "LANG",
            "LANGUAGE",
            "LC_ALL",
            "LC_CTYPE",
            "TZ",
            "TMPDIR",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
        ),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
        *("EMF_ATTEMPT", "EMF_INSTANCE", "EMF_HOME"),  # whose it is: what nobody wants is ended by that
    }
)


class CommandStopped(Exception):
    """Somebody asked for the command to be stopped; nothing of it runs any more."""


def allowed(
    environment: Mapping[str, str], prefixes: tuple[str, ...] = (), names: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the part of an environment that an installer may see: the common names, these, and these prefixes."""
    return {
        name: value
        for name, value in environment.items()
        if name in ALLOWED or name in names or (prefixes and name.startswith(prefixes))
    }


def stream(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    line: Callable[[str], None],
    seconds: float,
    should_stop: Callable[[], bool] = lambda: False,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run a command to its end and return its exit code; each line of its two outputs goes to `line` at once.

    Raises:
        TimeoutError: it did not end within `seconds`.
        CommandStopped: `should_stop` said so. In both cases, and if `line` raises, its processes are ended.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    with process:
        try:
            for text in _lines(process, lambda: _check(deadline, seconds, should_stop)):
                line(text)
            return process.wait(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"did not end within {seconds:g} s") from error
        finally:
            if process.poll() is None:
                end_tree(process.pid)


def _check(deadline: float, seconds: float, should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise CommandStopped
    if time.monotonic() > deadline:
        raise TimeoutError(f"did not end within {seconds:g} s")


def _lines(process: subprocess.Popen[bytes], check: Callable[[], None]) -> Iterator[str]:
    """Yield what the process prints, line by line; its end ends it, even if a child of it keeps the pipe open."""
    if process.stdout is None:
        return
    descriptor = process.stdout.fileno()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            check()
            ended = process.poll() is not None
            if selector.select(0 if ended else TICK_SECONDS):
                piece = os.read(descriptor, PIECE_BYTES)
                *whole, rest = (rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
                yield from (text.decode(errors="replace") for text in whole)
                if piece:
                    continue
            elif not ended:
                continue
            if rest:
                yield rest.decode(errors="replace")
            return


def end_tree(pid: int) -> None:
    """End a process that leads a session, all below it, and whatever it started in the moment of its end."""
    try:
        top = psutil.Process(pid)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        tree = []
    end_all(tree, GRACE_SECONDS, lambda: _session(pid))
    for _ in range(LAST_LOOKS):  # who forks while it is being ended leaves one more each time
        if not (left := _session(pid)):
            return
        end_all(left, 0.0)


def _session(pid: int) -> list[psutil.Process]:
    """Return the living processes of a session, by its leader's number."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
