"""The environments that users' code runs in on one machine: one for each image, made from its lock file.

An environment's folder is named after its lock files, so a changed lock file is another environment and running scripts
keep theirs. It is built where it stays and counts once its marker is written, last of all: a build that died at any
line is seen as none, and made again.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_random
from uv import find_uv_bin

from blocks.errors import Temporary
from blocks.pools.command import CommandStopped, allowed, stream
from blocks.pools.errors import EnvironmentBroken
from blocks.pools.interpreter import interpreter
from blocks.pools.overlay import InstallStopped, RegistryAway, RequirementsFailed, overlay

__all__ = [
    "EnvironmentAway",
    "EnvironmentBroken",
    "Environments",
    "InstallStopped",
    "RegistryAway",
    "RequirementsFailed",
    "overlay",
]

IMAGES = Path(__file__).resolve().parents[2] / "images"
LOCK = "requirements.lock"
TORCH = "torch.txt"  # what stays out of the lock: torch's build, and so its hash, differs by machine
COMPLETE = ".complete"
LOCK_SECONDS = 1800.0
BUILD_SECONDS = 1800.0
ASK_PIP_SECONDS = 30.0
LAST_LINES = 20
# uv's words for a registry that does not answer, whole: packages have names such as networkx. All else stays as it is.
AWAY = re.compile(
    r"error sending request|dns error|operation timed out|tcp connect error|error decoding response body"
    r"|connection (refused|reset by peer|closed before)|network is unreachable"
    r"|http status server error|429 too many requests",
    re.IGNORECASE,
)


class EnvironmentAway(Temporary):
    """An image's environment could not be made now: a registry does not answer, or another build goes on too long."""


class Environments:
    """The environments under one platform's folder."""

    def __init__(self, home: Path, images: Path = IMAGES) -> None:
        """Keep environments in `home/environments`; `images` has a folder for each image."""
        self.root = home / "environments"
        self._images = images

    def names(self) -> list[str]:
        """Return the images that an environment can be made for."""
        return sorted(file.parent.name for file in self._images.glob(f"*/{LOCK}"))

    def folder(self, name: str) -> Path:
        """Return where the environment of this image is, or will be.

        Raises:
            EnvironmentBroken: there is no such image.
        """
        if name not in self.names():
            raise EnvironmentBroken(f"There is no image {name!r} with a {LOCK}; there are: {', '.join(self.names())}.")
        digest = hashlib.sha256(f"{interpreter().tag} {platform.machine()}".encode())
        for file in self._lock_files(name):
            digest.update(file.read_bytes())
        return self.root / f"{name}-{digest.hexdigest()[:12]}"

    def installed(self, name: str) -> bool:
        """Tell whether the environment of this image is complete."""
        return (self.folder(name) / COMPLETE).exists()

    def ensure(
        self,
        name: str,
        progress: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Return the python of an image's environment, which is made if it is not there yet.

        Each line of the installer's goes to `progress`. Those that ask at the same time wait for the one that builds.

        Raises:
            EnvironmentBroken: it cannot be made; the message has uv's last words.
            EnvironmentAway: a registry does not answer, or the other build did not end in time.
            CommandStopped: `should_stop` said so.
        """
        folder = self.folder(name)
        python = folder / "bin" / "python"
        if self.installed(name):
            with suppress(OSError):  # it is another user's
                os.utime(folder / COMPLETE)  # what is used stays
            return python
        say = progress or _silent
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self.root / f".{folder.name}.lock", say, should_stop) as lock:
            if not self.installed(name):
                say(f"Making the environment of the image {name} with {interpreter()} in {folder}")
                if interpreter().note:
                    say(interpreter().note)
                _Build(name, self._lock_files(name), folder, say, lock, should_stop).run()
        return python

    def _lock_files(self, name: str) -> list[Path]:
        return [file for file in (self._images / name / LOCK, self._images / name / TORCH) if file.exists()]


class _Build:
    """One build under the lock."""

    def __init__(
        self,
        name: str,
        files: list[Path],
        folder: Path,
        say: Callable[[str], None],
        lock: int,
        should_stop: Callable[[], bool],
    ) -> None:
        self._name = name
        self._files = files
        self._folder = folder
        self._say = say
        self._lock = lock
        self._should_stop = should_stop
        self._python = folder / "bin" / "python"

    def run(self) -> None:
        """Build; the marker comes last."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._uv("venv", "--python", interpreter().path, str(self._folder))
        for file in self._files:
            if file.name == LOCK:
                self._uv("pip", "sync", "--python", str(self._python), "--require-hashes", str(file))
            else:
                self._install_torch(file)
        (self._folder / COMPLETE).touch()

    def _install_torch(self, file: Path) -> None:
        links = pip_find_links(self._python)
        wanted = file.read_text(encoding="utf-8").split("==")
        has_nvidia = Path("/proc/driver/nvidia/version").exists()
        words = torch_words(links, wanted[-1].strip(), interpreter().tag, has_nvidia)
        env = {"UV_FIND_LINKS": ",".join(links)} if links and "--torch-backend=auto" not in words else {}
        self._uv("pip", "install", "--python", str(self._python), *words, "-r", str(file), env=env)

    def _uv(self, *words: str, env: dict[str, str] | None = None) -> None:
        said: deque[str] = deque(maxlen=LAST_LINES)

        def hear(text: str) -> None:
            said.append(text)
            self._say(text)

        seen = allowed(os.environ, ("UV_",)) | (env or {})
        try:
            # uv holds the lock as well: if this process is killed, nobody builds in the folder before uv is done.
            code = stream(
                [find_uv_bin(), *words],
                env=seen,
                cwd=self._folder.parent,  # uv reads the settings of a project around its folder, were there one
                line=hear,
                seconds=BUILD_SECONDS,
                should_stop=self._should_stop,
                pass_fds=[self._lock],
            )
        except TimeoutError as error:
            raise EnvironmentAway(f"The environment of the image {self._name}: uv {words[0]} {error}.") from error
        except OSError as error:
            raise EnvironmentBroken(f"The environment of the image {self._name} cannot be made: {error}") from error
        if code:
            raise failure(self._name, list(said), code)


def failure(name: str, said: list[str], code: int) -> EnvironmentBroken | EnvironmentAway:
    """Return the error for a uv that exited with `code` after these words."""
    words = "\n".join(said)
    how = f"exited with {code}" if code >= 0 else f"was ended by signal {-code}"
    message = f"The environment of the image {name} could not be made; uv {how} and said:\n{words}"
    if code < 0 or AWAY.search(words):  # whoever ends an installer says nothing of the image
        return EnvironmentAway(message)
    return EnvironmentBroken(message)


def torch_words(links: list[str], version: str, tag: str, has_nvidia: bool) -> list[str]:
    """Return how uv is to pick torch's build: for the GPU that is there, from this machine's folder, or the CPU's.

    `tag` is the interpreter's, as in `cp311`: a file for another Python is of no use.

    A CPU build needs only what is locked already; a CUDA build brings its own libraries.
    """
    if has_nvidia:
        return ["--torch-backend=auto"]
    here = any(next(Path(link).glob(f"torch-{version}*-{tag}-*.whl"), None) for link in links)
    return ["--no-deps"] if here else ["--no-deps", "--torch-backend=cpu"]


def pip_find_links(python: Path) -> list[str]:
    """Return the folders and pages that pip, as this machine configures it, looks for files in; uv does not ask pip."""
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        if os.environ.get(name):
            return os.environ[name].replace(",", " ").split()
    words = [str(python), "-m", "pip", "config", "get", "global.find-links"]
    try:
        asked = subprocess.run(
            words,
            env=allowed(os.environ, ("PIP_",)),
            capture_output=True,
            text=True,
            timeout=ASK_PIP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return asked.stdout.split() if asked.returncode == 0 else []


def _silent(_: str) -> None: ...


@contextmanager
def _locked(file: Path, say: Callable[[str], None], should_stop: Callable[[], bool]) -> Generator[int]:
    """Hold a file's lock, which no other process of this machine has meanwhile; yield its descriptor."""
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is making this environment; waiting for it")
            _wait_for(handle.fileno(), file, should_stop)
        yield handle.fileno()


def _wait_for(descriptor: int, file: Path, should_stop: Callable[[], bool]) -> None:
    def lock() -> None:
        if should_stop():
            raise CommandStopped
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    retrying = Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        wait=wait_random(0.1, 0.5),
        stop=stop_after_delay(LOCK_SECONDS),
    )
    try:
        retrying(lock)
    except RetryError as error:
        raise EnvironmentAway(
            f"Another process has held {file} for {LOCK_SECONDS:g} s; see with `fuser {file}` which it is."
        ) from error
