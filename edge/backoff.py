"""Pauses between attempts at what may be away for long: a broker, a camera."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that grow from ``min_s`` to ``max_s``, drawn at random below a doubling limit.

    Random, because a hundred doors that lost their broker together must not all come back together.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._limit_s = min_s

    def next_s(self) -> float:
        self._limit_s = min(self._max_s, self._limit_s * 2)
        return random.uniform(self._min_s, self._limit_s)

    def reset(self) -> None:
        self._limit_s = self._min_s
