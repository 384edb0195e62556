"""Does the process that wrote this still live? Asked of another user's process as of one's own.

A number alone may have been given to another process since, so it goes with the moment of the start, in ticks since the
machine's own (``man 5 proc``, field 22 of ``stat``), and with the boot those ticks count from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
DEAD_STATES: Final = "ZXx"  # a zombie is only waiting for its parent to look


@dataclass(frozen=True, slots=True)
class Process:
    """boot: the kernel's id of this boot. started: clock ticks since then, None where /proc does not tell."""

    pid: int
    boot: str
    started: int | None


def this_process() -> Process:
    return Process(os.getpid(), boot_id(), started(os.getpid()))


def is_alive(process: Process) -> bool:
    """Where /proc is not open to this user (``hidepid=``), the number alone must do."""
    if process.boot != boot_id():
        return False
    try:
        os.kill(process.pid, 0)  # signal 0 is not delivered
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    now = started(process.pid)
    return now is None or (now >= 0 and process.started in (None, now))


def started(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Ticks from boot to its start; -1 for one that is dead and not yet buried; None where nothing can be seen."""
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # its name may hold spaces and brackets
    return -1 if state in DEAD_STATES else int(fields[18])


def boot_id() -> str:
    """Empty where the kernel does not tell: then every boot looks the same."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
