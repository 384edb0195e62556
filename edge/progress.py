"""Frames that went all the way through, counted."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0


class Progress:
    """How many frames a second, and how long ago the last was. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._done_s: deque[float] = deque()
        self._first_s: float | None = None
        self._last_s: float | None = None

    def done(self, now_s: float) -> None:
        if self._first_s is None:
            self._first_s = now_s
        self._last_s = now_s
        self._done_s.append(now_s)
        self._forget(now_s)

    def fps(self, now_s: float) -> float:
        """Over the last ten seconds; over the time since the first frame where that is less."""
        self._forget(now_s)
        if self._first_s is None:
            return 0.0
        is_young = now_s - self._first_s < WINDOW_S
        count = len(self._done_s) - is_young  # so many gaps between the frames of the first seconds
        span_s = now_s - self._first_s if is_young else WINDOW_S
        return count / span_s if span_s > 0 else 0.0

    def frame_age_s(self, now_s: float) -> float | None:
        """None before the first frame."""
        return None if self._last_s is None else now_s - self._last_s

    def _forget(self, now_s: float) -> None:
        while self._done_s and now_s - self._done_s[0] > WINDOW_S:
            self._done_s.popleft()
