"""How long a model takes beside another, on one thread of this machine.

The two take turns, so that what else runs here slows both; what is looked at is their ratio, turn by turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.interpreter import Interpreter

TURNS: Final = 60
WARM_UP: Final = 5


@dataclass(frozen=True, slots=True)
class Race:
    """Medians in milliseconds a face; ratio: of new to old, the median over the turns and its quartiles."""

    new_ms: float
    old_ms: float
    ratio: float
    quartiles: tuple[float, float]


def race(new: Interpreter, old: Interpreter, turns: int = TURNS) -> Race:
    for each in (new, old):
        for _ in range(WARM_UP):
            _once(each)
    times = np.array([(_once(new), _once(old)) for _ in range(turns)])
    low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
    new_ms, old_ms = np.median(times, axis=0) * 1e3
    return Race(float(new_ms), float(old_ms), float(middle), (float(low), float(high)))


def _once(interpreter: Interpreter) -> float:
    """Seconds of one call."""
    picture = np.full(interpreter.input.shape, 100, interpreter.input.dtype)
    start = time.perf_counter()
    interpreter.run(picture)
    return time.perf_counter() - start
