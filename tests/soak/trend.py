"""Does a figure grow? Its slope over the frames, and between which limits the slope lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS: Final = 60
BLOCK: Final = 6  # bins: what memory does in one bin tells what it does in the next ones
DRAWS: Final = 2000


@dataclass(frozen=True, slots=True)
class Slope:
    """Per 1,000 frames: the estimate, and the ends of its 95 % interval."""

    per_1000: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.per_1000:+.2f} per 1,000 frames, 95 % interval {self.low:+.2f} to {self.high:+.2f}"


def slope(frames: npt.ArrayLike, values: npt.ArrayLike, seed: int = 0) -> Slope:
    """Theil and Sen's slope: the median over all pairs of points, which a peak here and there does not move.

    The points are medians of up to 60 stretches of equal length. The interval is drawn from the residuals in moving
    blocks (Kuensch 1989), for a process that took a page keeps it for a while: single residuals are not independent. Of
    300 made-up series without a trend, it held 0 in 91 % (memory that stays for a stretch) and 93 % (for five).
    """
    x, y = _binned(np.asarray(frames, float), np.asarray(values, float))
    rise = _theil_sen(x, y[None, :])[0]
    blocks = len(x) / BLOCK
    rest = (y - rise * x) * (blocks / (blocks - 2)) ** 0.5  # a fitted line leaves less than there was, by so much
    draw = np.random.default_rng(seed)
    starts = draw.integers(0, len(x) - BLOCK + 1, (DRAWS, -(-len(x) // BLOCK)))
    drawn = rest[(starts[:, :, None] + np.arange(BLOCK)).reshape(DRAWS, -1)[:, : len(x)]]
    low, high = np.percentile(_theil_sen(x, rise * x + drawn), [2.5, 97.5])
    return Slope(1000 * rise, 1000 * float(low), 1000 * float(high))


def _binned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    edges = np.linspace(x.min(), x.max(), BINS + 1)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
    held = [b for b in range(BINS) if (place == b).any()]
    if len(held) < 2 * BLOCK:
        raise ValueError(f"{len(held)} stretches have a sample, at least {2 * BLOCK} are needed: run for longer")
    middles = np.array([np.median(x[place == b]) for b in held])
    return middles, np.array([np.median(y[place == b]) for b in held])


def _theil_sen(x: Floats, ys: Floats) -> Floats:
    """ys: (series, points); returns a slope for each series."""
    first, second = np.triu_indices(len(x), 1)
    slopes: Floats = np.median((ys[:, second] - ys[:, first]) / (x[second] - x[first]), axis=1)
    return slopes
