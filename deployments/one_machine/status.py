"""`emf status`: what runs, whether it is well, what it costs. Works as well when nothing runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil

from blocks.settings import Settings
from deployments.one_machine import health
from deployments.one_machine.parts import Part, all_parts
from deployments.one_machine.supervisor import Program, Supervisor


@dataclass(frozen=True, slots=True)
class Row:
    """One part or service. `fault` is "" when it is well; `memory_bytes` is that of its whole process tree (PSS)."""

    part: str
    state: str
    healthy: bool
    fault: str
    page: str
    pid: int | None
    uptime_seconds: int | None
    memory_bytes: int | None

    def as_dict(self) -> dict[str, object]:
        """Return the row for `--json`."""
        return asdict(self)


def status(settings: Settings) -> list[Row]:
    """Ask every part and service; parts first, in the order of starting.

    Raises:
        SupervisordSilent: supervisord runs and does not answer.
    """
    programs = Supervisor(settings.home).wait_for_programs(lambda _what: None) or {}
    parts = {part.name: part for part in all_parts(settings)}
    faults = health.ask(parts.values(), programs, settings) if programs else {}
    names = [*parts, *sorted(name for name in programs if name not in parts)]
    return [row(name, parts.get(name), programs.get(name), faults) for name in names]


def row(name: str, part: Part | None, program: Program | None, faults: Mapping[str, str]) -> Row:
    """Return the line of one part, or of a service (no `part`), which is well while supervisord keeps it running."""
    if program is None:
        return Row(name, "STOPPED", False, "does not run", part.page if part else "", None, None, None)
    service_fault = "" if program.state in ("RUNNING", "STARTING") else program.detail or "does not run"
    fault = faults[name] if part else service_fault
    return Row(
        part=name,
        state=program.state,
        healthy=not fault,
        fault=fault,
        page=part.page if part else "",
        pid=program.pid or None,
        uptime_seconds=max(0, program.now - program.start) if program.pid else None,
        memory_bytes=memory(program.pid) if program.pid else None,
    )


def memory(pid: int) -> int | None:
    """Return the bytes that a process and its descendants hold, shared pages counted once; None if it is gone."""
    try:
        root = psutil.Process(pid)
        return sum(_own_memory(process) for process in (root, *root.children(recursive=True)))
    except psutil.Error:
        return None


def _own_memory(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
