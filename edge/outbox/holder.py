"""Who uses an outbox just now, as the kernel tells it; looking changes nothing, opening the file would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edge.outbox.outbox import FILE

LOCKS: Final = Path("/proc/locks")


def holder(folder: Path) -> int | None:
    """The process that holds the outbox under a state folder: a running daemon. None where there is none to be seen.

    A line of /proc/locks (proc_locks(5)): ``1: POSIX  ADVISORY  WRITE 1234 fe:00:56789 1073741824 1073742335``.
    """
    try:
        found = (folder / FILE).stat()
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids = [int(words[4]) for line in lines if place in (words := line.split()) and words[3] == "WRITE"]
    return next((pid for pid in pids if pid > 0), None)
