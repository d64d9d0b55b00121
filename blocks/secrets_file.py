"""How `EMF_HOME/secrets.env` is written: a NAME=value a line. Who may read it is its readers' affair."""

from pathlib import Path

from blocks.errors import Permanent

FILE = "secrets.env"


class BadSecrets(Permanent):
    """A line of the secrets file cannot be read; the message has its number, and nothing of what stands there."""


def read(file: Path) -> str:
    """Return what the file holds.

    Raises:
        BadSecrets: it is not text in UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        where = f"{file} is not text in UTF-8, from its byte {error.start + 1} on."
        raise BadSecrets(f"{where} Save it as UTF-8.") from None  # the decoder's own words hold what stands there


def parse(text: str, file: Path) -> dict[str, str]:
    """Read `NAME=value` lines; empty ones and those that begin with # are skipped.

    Raises:
        BadSecrets: with the file and the line's number.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise BadSecrets(f"{file}, line {number} is not of the form NAME=value. Correct it, or begin it with #.")
        found[name.strip()] = value.strip()
    return found
