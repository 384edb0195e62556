"""A file played in real time (``--pace live``): frames come when they are due, stale ones are dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from edge.errors import EdgeError
from edge.records import Frame
from edge.sources.base import Closing, NotYetDue, Source


@dataclass(frozen=True, slots=True)
class Timer:
    """The clock that paces, so that tests and ``--pace max`` can run without waiting.

    now_s: monotonic seconds. wait: lets so many seconds pass.
    """

    now_s: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


REAL_TIME: Final = Timer()


class VirtualTime:
    """Time that passes only when waited for."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def timer(self) -> Timer:
        return Timer(lambda: self._now_s, self.advance)

    def advance(self, seconds: float) -> None:
        self._now_s += max(0.0, seconds)


class Paced(Closing):
    """Plays ``inner`` by its media clock; of the frames that are due, only the newest is handed out.

    A gap in the file that is longer than the reader's time limit is told as such (NotYetDue): a camera would be lost.
    """

    live = True

    def __init__(self, inner: Source, timer: Timer = REAL_TIME) -> None:
        self.name = inner.name
        self.dropped = 0
        self._inner = inner
        self._timer = timer
        self._started_s: float | None = None
        self._current: Frame | None = None
        self._ahead: Frame | None = None
        self._end: EdgeError | None = None
        self._ended = False

    def read(self, timeout_s: float) -> Frame | None:
        deadline_s = self._timer.now_s() + timeout_s
        self._skip_stale(deadline_s)
        frame = self._current
        if frame is None:
            if self._end is not None:
                raise self._end
            return None
        missing_s, left_s = self._due_s(frame) - self._timer.now_s(), max(0.0, deadline_s - self._timer.now_s())
        self._timer.wait(max(0.0, min(missing_s, left_s)))
        if missing_s > left_s:
            raise NotYetDue(f"{self.name}: the next frame is due in {missing_s - left_s:.1f} s")
        self._current = None
        return replace(frame, utc_s=time.time())

    def close(self) -> None:
        self._inner.close()

    def _skip_stale(self, deadline_s: float) -> None:
        """Make the newest frame that is due the current one, or else the next; catching up ends at the deadline."""
        if self._current is None:
            self._current, self._ahead = self._ahead or self._decode(), None
        if self._started_s is None and self._current is not None:
            self._started_s = self._timer.now_s() - self._current.t_s
        while self._current is not None:
            self._ahead = self._ahead or self._decode()
            now_s = self._timer.now_s()
            if self._ahead is None or self._due_s(self._ahead) > now_s or now_s > deadline_s:
                return
            self._current, self._ahead = self._ahead, None
            self.dropped += 1

    def _decode(self) -> Frame | None:
        """The inner source's next frame. An error is kept until all frames were given."""
        if self._ended:
            return None
        try:
            frame = self._inner.read(0.0)
        except EdgeError as error:
            self._end, frame = error, None
        self._ended = frame is None
        return frame

    def _due_s(self, frame: Frame) -> float:
        return (self._started_s or 0.0) + frame.t_s
