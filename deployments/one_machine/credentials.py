"""The secrets of one platform: `EMF_HOME/secrets.env`, made once, readable by its owner alone."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from blocks.secrets_file import FILE, parse, read
from blocks.settings import Settings


def ensure(settings: Settings) -> dict[str, str]:
    """Return the secrets; those that the file does not have yet are made and added to it.

    Raises:
        BadSecrets: the file is not UTF-8, or a line of it is not `NAME=value`.
    """
    file = settings.home / FILE
    text = read(file) if file.exists() else ""
    known = parse(text, file)
    makers: Mapping[str, Callable[[], str]] = {
        "EMF_OBJECT_STORE_ACCESS_KEY": lambda: f"{settings.account}:admin",
        "EMF_OBJECT_STORE_SECRET_KEY": lambda: secrets.token_urlsafe(32),
        "EMF_CLAIM_SECRET": lambda: secrets.token_urlsafe(32),  # what the codes that claim attempts are made from
        "EMF_SWIFT_HASH_SUFFIX": lambda: secrets.token_hex(16),  # a lost one loses every object
    }
    made = {name: make() for name, make in makers.items() if name not in known}
    if made:
        _write(file, "\n".join([*text.splitlines(), *(f"{name}={value}" for name, value in made.items())]) + "\n")
    file.chmod(0o600)
    return known | made


def _write(file: Path, text: str) -> None:
    """Replace the file whole: a reader, or a power cut, never sees half of it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
