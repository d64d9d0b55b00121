"""What stays up on one machine: services are programs of the platform's own supervisord.

A service is a file `EMF_HOME/supervisor/services/<name>.conf`, which supervisord also reads when it starts. The file is
written before the service exists and goes after it has ended, so that `names()` never misses one.
"""

import hashlib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.hosts import loopback, rpc
from blocks.hosts.errors import BadService, HostAway
from blocks.hosts.program import log_file, section
from blocks.hosts.rpc import Fault, Refused
from blocks.hosts.service import LONGEST_STOP, Observed, Service, State, checked_name

_LONGEST_SOCKET = 96  # bytes of 107: supervisord first binds `<path>.<pid>`
_STATES = {
    0: State.STOPPED,
    10: State.STARTING,
    20: State.RUNNING,
    30: State.STARTING,  # BACKOFF: it failed and will be tried again
    40: State.RUNNING,  # STOPPING: its process is still there
    200: State.FAILED,
}
_EXITED = 100
_TAIL = 4096  # bytes


def socket_path(home: Path) -> Path:
    """Return where the supervisord of this platform listens: in its folder, or a short path if that is too long.

    Who creates the short one's folder makes it with mode 0700 and checks that it is this user's.
    """
    path = home / "supervisor" / "supervisord.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    short = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"emf-{os.getuid()}" / f"{short}.sock"  # noqa: S108 - its folder is 0700 and checked


class Supervisord:
    """A `Host`: the supervisord of one platform folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._socket = socket_path(home)
        self._services = home / "supervisor" / "services"

    def apply(self, service: Service) -> None:
        """Make it so: start, replace if changed, start again if it had ended; returns before it is healthy.

        Raises:
            BadService: supervisord cannot read it, or its folder does not exist.
            HostAway: supervisord does not answer.
        """
        if service.folder is not None and not service.folder.is_dir():
            raise BadService(f"Service {service.name}: its folder {service.folder} does not exist.")
        if service.name in self._write(service):
            self._end(service.name)
        try:
            self._call("addProcessGroup", service.name)
        except Refused as refusal:
            if refusal.code != Fault.ALREADY_ADDED:
                raise HostAway(f"supervisord did not take service {service.name}: {refusal}") from refusal
            self._start(service.name)

    def observe(self, name: str) -> Observed:
        """Look at one service; one that supervisord does not know is ABSENT. Raises HostAway."""
        try:
            info: dict[str, Any] = self._call("getProcessInfo", checked_name(name))
        except Refused as refusal:
            if refusal.code == Fault.BAD_NAME:
                return Observed(State.ABSENT)
            raise HostAway(f"supervisord does not say how {name} is: {refusal}") from refusal
        code, pid = info["state"], info["pid"] or None
        exited_well = code == _EXITED and info["exitstatus"] == 0
        state = State.STOPPED if exited_well else _STATES.get(code, State.FAILED)
        moment = info["start"] if pid else info["stop"] or info["start"]
        return Observed(
            state=state,
            pid=pid,
            since=datetime.fromtimestamp(moment, UTC) if moment else None,
            detail=self._detail(name, info, failed=state is State.FAILED or bool(info["spawnerr"])),
        )

    def healthy(self, service: Service, within: float = 2.0) -> bool:
        """Say whether it answers as healthy on loopback, in at most `within` seconds."""
        return loopback.healthy(service, within)

    def delete(self, name: str) -> None:
        """Stop it and forget it; returns when its process is gone. Its log stays. Raises HostAway."""
        self._end(checked_name(name))
        self._file(name).unlink(missing_ok=True)
        self._read_again()

    def names(self) -> set[str]:
        """Return the services that have a file: those which should be, and those not yet deleted to the end."""
        return {file.stem for file in self._services.glob("*.conf")}

    def _call(self, method: str, *arguments: str | bool, within: float = 10.0) -> Any:
        return rpc.call(self._socket, method, *arguments, within=within)

    def _file(self, name: str) -> Path:
        return self._services / f"{name}.conf"

    def _write(self, service: Service) -> set[str]:
        """Put the file in place, or what was there back if it cannot be read; return which services changed."""
        file, text = self._file(service.name), section(service, self._home)
        log_file(self._home, service.name).parent.mkdir(parents=True, exist_ok=True)
        self._services.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = file.read_text(encoding="utf-8") if file.exists() else None
        if before != text:
            _replace(file, text)
        try:
            return self._read_again()
        except BadService:
            if before is None:
                file.unlink(missing_ok=True)
            elif before != text:
                _replace(file, before)
            raise

    def _read_again(self) -> set[str]:
        """Have supervisord read its files; return the services that run otherwise than their files say."""
        try:
            [[_, changed, _]] = self._call("reloadConfig")
        except Refused as refusal:
            raise BadService(f"supervisord cannot read its files: {refusal}") from refusal
        return set(changed)

    def _start(self, name: str) -> None:
        try:
            self._call("startProcess", name, False)
        except Refused as refusal:
            if refusal.code != Fault.ALREADY_STARTED:
                raise HostAway(f"supervisord did not start service {name}: {refusal}") from refusal

    def _end(self, name: str) -> None:
        """Stop the process and take it out of supervisord; what is not there is fine."""
        try:
            self._call("stopProcessGroup", name, True, within=LONGEST_STOP + 20)  # supervisord itself kills in time
            self._call("removeProcessGroup", name)
        except Refused as refusal:
            if refusal.code != Fault.BAD_NAME:
                raise HostAway(f"Service {name} could not be stopped: {refusal}") from refusal

    def _detail(self, name: str, info: dict[str, Any], *, failed: bool) -> str:
        words = [info["statename"].lower(), info["spawnerr"]]
        if info["state"] == _EXITED:
            words.append(f"exit code {info['exitstatus']}")
        if failed and (file := log_file(self._home, name)).exists():
            with file.open("rb") as log:
                log.seek(max(0, file.stat().st_size - _TAIL))
                words += log.read().decode(errors="replace").strip().splitlines()[-1:]
        return " · ".join(word for word in words if word)


def _replace(file: Path, text: str) -> None:
    """Write a file of which a reader sees either the old or the new; only this user may read it."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}.")  # mkstemp's mode is 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
