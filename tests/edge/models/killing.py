"""A process that is killed right before its n-th change of the disk, or in the middle of it where that is a write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

CHANGES: Final = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.utime", "os.truncate")
KILLED: Final = 137
DONE: Final = 0
FAILED: Final = 1


def killed_at(step: int, act: Callable[[], Any]) -> int:
    """Do it in a child. KILLED; DONE where there are not so many steps; FAILED where it raised."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = FAILED
    try:
        count_down(step)
        act()
        code = DONE
    except BaseException as error:  # noqa: BLE001 - the child says so by its exit code, and goes
        os.write(2, f"{error!r}\n".encode())
    os._exit(code)


def count_down(step: int) -> None:
    """From here on: every call that changes the disk is a step, syncs included."""
    left = [step]
    real_write, real_fsync = os.write, os.fsync

    def is_last() -> bool:
        left[0] -= 1
        return left[0] < 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        is_writing = event == "open" and isinstance(args[2], int) and args[2] & (os.O_CREAT | os.O_TRUNC)
        if (event in CHANGES or is_writing) and is_last():
            os._exit(KILLED)

    def write(fd: int, data: Any) -> int:
        if is_last():
            real_write(fd, bytes(data)[: len(data) // 2])
            os._exit(KILLED)
        return real_write(fd, data)

    def fsync(fd: int) -> None:
        if is_last():
            os._exit(KILLED)
        real_fsync(fd)

    os.write, os.fsync = write, fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


def steps_of(act: Callable[[], Any], undo: Callable[[], Any]) -> int:
    """How many there are; ``undo`` puts everything back after each attempt."""
    step = 0
    while killed_at(step, act) == KILLED:
        undo()
        step += 1
    undo()
    return step
