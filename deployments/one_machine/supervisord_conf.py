"""The parts as supervisord's configuration: pure text.

Its quoting is weak, so what the machine chooses (PATH, folders of certificates) goes through supervisord's own
environment instead; here stand only values of ours.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from blocks.hosts.supervisord import socket_path
from deployments.one_machine.environment import CHECKOUT
from deployments.one_machine.errors import CannotStart
from deployments.one_machine.parts import Part

SERVICES = "services"  # what blocks/hosts adds while the platform runs; relative, since patterns split at spaces


def render(parts: Iterable[Part], home: Path, shared: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """Return the text of `supervisord.conf`; each part sees those of the secrets that it names.

    Raises:
        CannotStart: a value that supervisord cannot read, most likely the path of EMF_HOME.
    """
    folder = home / "supervisor"
    head = {
        "unix_http_server": {"file": str(socket_path(home)), "chmod": "0600"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface",
        },
        "supervisord": {
            "directory": str(CHECKOUT),
            "pidfile": str(folder / "supervisord.pid"),
            "logfile": str(folder / "supervisord.log"),
            "logfile_maxbytes": "10MB",
            "logfile_backups": "3",
            "childlogdir": str(folder),
            "umask": "077",
            "environment": _environment(shared),
        },
        "include": {"files": f"{SERVICES}/*.conf"},
    }
    programs = {f"program:{part.name}": _program(part, folder, secrets) for part in parts}
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={_value(key, value)}\n" for key, value in fields.items())
        for name, fields in (head | programs).items()
    )


def log_file(home: Path, part: str) -> Path:
    """Return where a part's output goes."""
    return home / "supervisor" / f"{part}.log"


def _program(part: Part, folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    told = {name: secrets[name] for name in part.secrets if name in secrets}
    own = part.environment | told | {"EMF_PART": part.name}
    return {
        "command": shlex.join(part.command),
        "environment": _environment(own),
        "autostart": "true" if part.stage == 0 else "false",
        "autorestart": "true",
        "startsecs": "5",
        "startretries": "3",
        "stopwaitsecs": str(part.stop_seconds),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log_file(folder.parent, part.name)),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _environment(values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if '"' in value or value[:1] == "'" or value[-1:] == "'":
            raise CannotStart(f"{name} holds a quote, which supervisord's configuration cannot hold; change it.")
    return ",".join(f'{name}="{value}"' for name, value in values.items())


def _value(key: str, text: str) -> str:
    """Return the value as supervisord reads it back: `%` begins an expansion, a spaced `;` or `#` a comment."""
    unreadable = [" ;", " #", "\t;", "\t#", "\n", "\r"]
    if key != "environment":  # the others are paths, and some of those are expanded twice
        unreadable.append("%")
    if any(mark in text for mark in unreadable):
        raise CannotStart(
            f"supervisord cannot read `{key}` with a line break, ` ;`, ` #` or, in a path, `%`. "
            "Is the path of EMF_HOME, or of this checkout, such a one? Choose a plainer one."
        )
    return text.replace("%", "%%")
