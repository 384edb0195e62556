"""A note beside the outbox of the numbers that were given, and which of them are only in memory: so that neither a kill
while the disk is full nor a table that lost its latest rows is a silent loss, and no number is given twice.

The file is made while there is room, and written over in place: that takes no new block, so it works on a full disk.
It is synced only while events are in memory only; else the kernel writes it when it likes, a block every half minute,
and a power cut may leave an older one, which claims less.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SIZE: Final = 64
_LINE: Final = re.compile(r"([0-9a-z]{6}) ([0-9]+)-([0-9]+)(?: ([0-9]+))? *\n?")


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from ``first`` to ``last`` of an epoch were in memory only; none of them is where ``first`` is larger:
    ``last`` was given then, but to an event that has left. saved: the disk said that it has all up to this one."""

    epoch: str
    first: int
    last: int
    saved: int = 0

    @property
    def count(self) -> int:
        return max(0, self.last - self.first + 1)


class Note:
    """The note at ``path``. Nothing here raises: what cannot be noted is only not known later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None  # as it stands on disk, as far as we wrote it

    def read(self) -> Span | None:
        """What the run before left; None for nothing, or nothing that can be read."""
        try:
            found = _LINE.match(self._path.read_text("ascii", errors="replace"))
        except OSError:
            return None
        return Span(found[1], int(found[2]), int(found[3]), int(found[4] or 0)) if found else None

    @property
    def holds_span(self) -> bool:
        """Did we note one that still stands?"""
        return bool(self._text)

    def is_blank(self) -> bool:
        """It was made, and not one block could be had to write into it: the disk was full already."""
        try:
            return self._path.stat().st_size == 0
        except OSError:
            return False

    def write(self, span: Span | None) -> None:
        """Note the span, or that there is none."""
        text = f"{span.epoch} {span.first}-{span.last} {span.saved}" if span else ""
        if text == self._text:
            return
        with suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, f"{text:<{SIZE - 1}}\n".encode("ascii"), 0)
                if span is None or span.count:
                    os.fsync(fd)
                self._text = text
            finally:
                os.close(fd)
