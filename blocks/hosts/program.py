"""A service as a `[program:…]` section of supervisord: pure text, so that nothing in it can be taken for syntax.

Everything that others chose (command, environment, folder) travels as one JSON text in one variable for `start.py`;
JSON can spell the characters that mean something to supervisord's parsers as \\u escapes. The rest are paths of ours.
"""

import json
import re
import shlex
import sys
from pathlib import Path

from blocks.hosts import start
from blocks.hosts.errors import BadService
from blocks.hosts.service import Service

# `%` is an expansion, `'` ends the quote, `;` and `#` begin comments. None of them is JSON's own syntax.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "%';#"})
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f;#]")
_LARGEST = 120_000  # bytes; the kernel takes no longer single variable than 128 KiB


def section(service: Service, home: Path) -> str:
    """Return the text of the service's file for supervisord.

    Raises:
        BadService: command and environment together are over 120,000 bytes, or a path of the platform holds a
            character that supervisord has no way to write.
    """
    words = {
        "command": list(service.command),
        "environment": dict(service.environment) | {"EMF_HOME": str(home), "EMF_PART": service.name},
        "folder": None if service.folder is None else str(service.folder),
    }
    told = json.dumps(words).translate(_ESCAPES)
    if len(told) > _LARGEST:
        raise BadService(f"Service {service.name}: command and environment take {len(told):,} of {_LARGEST:,} bytes.")
    program = shlex.join([_path(sys.executable), "-I", "-S", _path(start.__file__)])
    lines = {
        "command": _percent(program, 1),
        "environment": f"{start.VARIABLE}='{told}'",
        "directory": _percent(_path(home), 1),
        "autostart": "true",
        "autorestart": "unexpected" if service.restart else "false",
        "startsecs": "1",
        "startretries": "3" if service.restart else "0",
        "stopsignal": "TERM",
        "stopwaitsecs": str(service.stop_seconds),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _percent(_path(log_file(home, service.name)), 2),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }
    return f"[program:{service.name}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def log_file(home: Path, name: str) -> Path:
    """Return where a service's output goes; it is rotated at 10 MB and three older ones are kept."""
    return home / "logs" / "services" / f"{name}.log"


def _percent(text: str, expansions: int) -> str:
    """Write `%` so that it is one after supervisord has expanded the text that many times."""
    return text.replace("%", "%" * 2**expansions)


def _path(path: Path | str) -> str:
    if _UNSPEAKABLE.search(str(path)):
        raise BadService(f"supervisord cannot use the path {str(path)!r}: no control characters, ';' or '#' in it.")
    return str(path)
