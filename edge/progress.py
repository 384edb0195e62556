"""Frames that went all the way through, counted."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0
LATE_IS_NEWS_S: Final = 60.0


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


class Deadline:
    """How many frames took longer than they may. limit_s: through all stages; None where there is no hurry (files)."""

    def __init__(self, limit_s: float | None) -> None:
        self.late = 0
        self._limit_s = limit_s
        self._late_at_s: float | None = None

    def done(self, now_s: float, busy_s: float) -> None:
        if self._limit_s is not None and busy_s > self._limit_s:
            self.late += 1
            self._late_at_s = now_s

    def is_missed(self, now_s: float) -> bool:
        """Was it, within the last minute? One slow frame in an hour is told, and soon forgotten."""
        return self._late_at_s is not None and now_s - self._late_at_s < LATE_IS_NEWS_S
