"""Does the process that wrote this still live? Asked of another user's process as of one's own.

A number alone may have been given to another process since, so it goes with the moment of the start, in ticks since the
machine's own (``man 5 proc``, field 22 of ``stat``). Not with the kernel's boot id: a unit with a /proc of its own, as
ours has, may see another one there than a shell does (in a container it did).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEAD_STATES: Final = "ZXx"  # a zombie is only waiting for its parent to look


@dataclass(frozen=True, slots=True)
class Process:
    """started: clock ticks since the machine's start, None where /proc does not tell."""

    pid: int
    started: int | None


def this_process() -> Process:
    return Process(os.getpid(), started(os.getpid()))


def is_alive(process: Process) -> bool:
    """Where /proc is not open to this user (``hidepid=``), the number alone must do."""
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
