"""What one attempt's requirements.txt adds to an image's environment, in an environment of the attempt's own.

The image's packages lie behind the attempt's on the path: what is satisfied is not installed again, what is pinned
otherwise wins, and the image itself never changes.
"""

import json
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from blocks.errors import Permanent, Temporary
from blocks.pools.command import CommandStopped, allowed, stream

LAST_LINES = 20
MAKE_SECONDS = 60.0
# pip's settings that say where packages come from; none that says where they go.
PIP_NAMES = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "TRUSTED_HOST", "CERT", "CLIENT_CERT", "PROXY"),
        *("CACHE_DIR", "NO_CACHE_DIR", "CONFIG_FILE", "CONSTRAINT", "DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES"),
    )
)
# pip's words after which it found nothing because nobody answered.
AWAY = ("connection broken by", "max retries exceeded", "name resolution", "readtimeouterror", "connectionerror")
# Runs in the image's python: it makes the attempt's environment and says what the attempt must know of the image.
MAKE = """
import importlib.metadata, json, sys, sysconfig, venv
venv.create(sys.argv[1], symlinks=True)
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
site = sysconfig.get_path("purelib", vars={"base": sys.argv[1], "platbase": sys.argv[1]})
versions = [version(name) for name in ("torch", "tensorflow-cpu", "tensorflow")]
print(json.dumps([list(dict.fromkeys(paths)), site, *versions]))
"""


class RequirementsFailed(Permanent):
    """A user's requirements.txt could not be installed.

    Attributes:
        what: what failed and pip's word for it, in one line.
        last_lines: pip's last words.
        exit_code: pip's; None where it did not end in time.
    """

    def __init__(self, last_lines: list[str], exit_code: int | None, message: str = "") -> None:
        """Say so in pip's words, unless there is a better message."""
        self.last_lines = last_lines
        self.exit_code = exit_code
        message = message or f"pip could not install requirements.txt (exit code {exit_code})"
        # Below its error pip gives hints and notes.
        errors = [text for text in last_lines if text.lower().startswith("error:")] or last_lines
        self.what = f"{message}: {errors[-1]}" if errors else message
        super().__init__("\n".join([f"{message}:", *last_lines]))


class RegistryAway(Temporary):
    """The package registry did not answer while a requirements.txt was installed."""


class InstallStopped(Permanent):
    """The installation was asked to stop, and has."""


class Image(NamedTuple):
    """What an attempt must know of its image's environment."""

    paths: list[str]
    overlay_site: str
    torch: str
    tensorflow_cpu: str
    tensorflow: str


def overlay(
    base_python: Path,
    folder: Path,
    requirements: Path,
    line: Callable[[str], None],
    deadline: float,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Make an attempt's own environment in `folder`, on top of an image's, install the requirements, return its python.

    Each line that pip prints goes to `line` as it comes; pip has `deadline` seconds.

    Raises:
        RequirementsFailed: pip refused, failed or did not end in time.
        RegistryAway: the registry did not answer.
        InstallStopped: `should_stop` said so; nothing of pip runs any more.
    """
    shutil.rmtree(folder, ignore_errors=True)
    python, constraints = _prepare(base_python, folder)
    words = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    words += ["--constraint", str(constraints), "--requirement", str(requirements)]
    pip = _Pip(line)
    env = allowed(os.environ, names=PIP_NAMES) | {"PYTHONUNBUFFERED": "1", "VIRTUAL_ENV": str(folder)}
    try:
        code = stream(words, env=env, cwd=requirements.parent, line=pip.hear, seconds=deadline, should_stop=should_stop)
    except TimeoutError as error:
        message = f"pip did not install requirements.txt within {deadline:g} s"
        raise RequirementsFailed(list(pip.said), None, message) from error
    except CommandStopped as error:
        raise InstallStopped("The installation of requirements.txt was stopped.") from error
    if code:
        raise pip.failure(code)
    return python


class _Pip:
    """What pip said: its last lines, and whether they tell of a registry that is away."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._away = False
        self.said: deque[str] = deque(maxlen=LAST_LINES)

    def hear(self, text: str) -> None:
        self._away = self._away or any(sign in text.lower() for sign in AWAY)
        self.said.append(text)
        self._line(text)

    def failure(self, code: int) -> RegistryAway | RequirementsFailed:
        if self._away:
            return RegistryAway("The package registry did not answer pip:\n" + "\n".join(self.said))
        return RequirementsFailed(list(self.said), code)


def _prepare(base_python: Path, folder: Path) -> tuple[Path, Path]:
    """Make the environment that pip fills; return its python, and the constraints that keep the image's torch."""
    image = _make(base_python, folder)
    site = Path(image.overlay_site)
    (site / "image.pth").write_text(path_lines(image.paths), encoding="utf-8")
    if image.tensorflow_cpu and not image.tensorflow:
        _alias(site, "tensorflow", image.tensorflow_cpu)
    constraints = folder / "constraints.txt"
    constraints.write_text(f"torch=={image.torch}\n" if image.torch else "", encoding="utf-8")
    return folder / "bin" / "python", constraints


def path_lines(paths: list[str]) -> str:
    """Return the text of a .pth file that puts these folders behind the environment's own, with their .pth files."""
    return "".join(f"import site; site.addsitedir({path!r})\n" for path in paths)


def _make(base_python: Path, folder: Path) -> Image:
    done = subprocess.run(
        [str(base_python), "-I", "-c", MAKE, str(folder)],
        env=allowed(os.environ),
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RequirementsFailed(
            done.stderr.splitlines()[-LAST_LINES:], done.returncode, f"{base_python} could not make {folder}"
        )
    return Image(*json.loads(done.stdout))


def _alias(site: Path, name: str, version: str) -> None:
    """Say that a package is there which the image has under another name, so that pip does not fetch it again."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    files = [f"{folder.name}/{file}" for file in ("METADATA", "INSTALLER", "RECORD")]
    (folder / "INSTALLER").write_text("image\n", encoding="utf-8")
    (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")
