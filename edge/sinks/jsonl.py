"""Events as lines of a file, or of stdout."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from edge.errors import DiskError, OutputError, UsageError
from edge.events import Event

STDOUT_FD: Final = 1
# Not through a buffer of Python's: what it holds after a failed write would be tried again at exit, with a traceback.


class JsonlSink:
    """Appends each event as one line, whole and at once; a reader never meets half a line but after a full disk.

    target: a path, or ``-`` for stdout. Raises OutputError where the file cannot be made.
    """

    def __init__(self, target: str) -> None:
        self.name = f"jsonl:{target}"
        self.written = 0
        self.wants_more = True  # False once the reader of a pipe on stdout went away (``| head``)
        self._path = checked(target)
        self._fd = STDOUT_FD if self._path is None else _open(self._path)

    def publish(self, event: Event, payload: bytes) -> None:
        """Write the line. Raises DiskError that says how many events the file holds of this run."""
        if not self.wants_more:
            return
        try:
            self._write(payload + b"\n")
        except OSError as err:
            if isinstance(err, BrokenPipeError) and self._path is None:
                self.wants_more = False
                return
            raise DiskError(self._failed(err)) from None
        self.written += 1

    def close(self, drain_s: float) -> None:
        """Close the file; the lines are already with the kernel."""
        if self._path is None or self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        except OSError as err:  # network file systems tell of a full disk only now
            raise DiskError(self._failed(err)) from None

    def _write(self, line: bytes) -> None:
        start = _size(self._fd)
        done = 0
        try:
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError:
            if done and start is not None:
                os.ftruncate(self._fd, start)  # a half line would be read as a broken event
            raise

    def _failed(self, err: OSError) -> str:
        what = "stdout" if self._path is None else str(self._path)
        return (
            f"cannot write to {what}: {err.strerror}; {self.written} events of this run were written: "
            "make room or choose another place with --sink"
        )


def checked(target: str) -> Path | None:
    """The file that is meant, None for stdout; nothing is made yet. Raises OutputError where none is named."""
    if not target:
        raise UsageError("sink jsonl: names no file", "use jsonl:PATH, or jsonl:- for stdout")
    if target == "-":
        return None
    if Path(target).is_dir():
        raise OutputError(f"{target} is a folder", "name a file in it with --sink")
    if Path(target).is_file() and not _may_hold_events(Path(target)):
        raise OutputError(f"{target} is there and holds no events", "choose another file with --sink")
    return Path(target)


def _may_hold_events(path: Path) -> bool:
    """A file that is empty or begins as a line of events does; a picture or a video must not get lines at its end."""
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"{")
    except OSError:
        return True  # opening it for writing says what is wrong


def _open(path: Path) -> int:
    try:
        # Without O_NONBLOCK the opening of a pipe that nobody reads waits for ever, deaf to signals.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        os.set_blocking(fd, True)
        if _ends_in_half_a_line(path, fd):
            os.write(fd, b"\n")
    except OSError as err:
        why = "nobody reads this pipe" if err.errno == errno.ENXIO else err.strerror
        raise OutputError(f"cannot create {path}: {why}", "choose another place with --sink") from None
    return fd


def _ends_in_half_a_line(path: Path, fd: int) -> bool:
    """As a power cut leaves it; our first event must not be glued to that."""
    if not _size(fd):
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _size(fd: int) -> int | None:
    """Bytes in the file; None where it is none (a pipe, a terminal, /dev/full)."""
    found = os.fstat(fd)
    return found.st_size if stat.S_ISREG(found.st_mode) else None
