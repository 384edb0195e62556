"""What mistakes cost, and which threshold makes them cheapest: to choose when a model is packed, or to show later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.errors import UsageError
from trainer.faces.labels import LABELS
from trainer.metrics import MASK_AT, Floats, Ints, interval, resampled, score

THRESHOLDS: Final = tuple(round(t, 2) for t in np.arange(0.01, 1.0, 0.01))


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one mistake, where a masked face called ``no_mask`` costs 1.

    missed: a bare face called ``mask``. worn: a badly worn mask called ``mask``.
    """

    missed: float = 1.0
    worn: float = 1.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(cost) and cost >= 0 for cost in self.each):
            raise UsageError(f"costs {self.missed:g} and {self.worn:g} must be numbers from 0 on: mend --cost-...")

    @property
    def each(self) -> tuple[float, ...]:
        """In the order of ``LABELS``."""
        return 1.0, self.missed, self.worn


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold: shares 0-1 of each class that are wrong at it (NaN where a class is absent), and what they cost
    together: the mean cost of one face of each class, whatever the number of faces of each in the set."""

    threshold: float
    mask_wrong: float
    bare_wrong: float
    incorrect_wrong: float
    cost: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """used: the model's own threshold. cheapest: the best for these faces; of several the one nearest to ``used``.

    saving: what the cheapest costs less than the one in use. ci95: its interval over redrawn groups; where it begins at
    0 or below, the difference may be chance. It flatters the cheapest, which was chosen on the same faces.
    """

    costs: Costs
    points: tuple[Point, ...]
    used: Point
    cheapest: Point
    saving: float
    ci95: tuple[float, float]

    @property
    def is_choice(self) -> bool:
        """Whether masked and bare faces are there; of one class alone a threshold at the end is always cheapest."""
        return not (math.isnan(self.used.mask_wrong) or math.isnan(self.used.bare_wrong))


def sweep(p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float, costs: Costs) -> Sweep:
    """p_mask: (n,) 0-1. labels: (n,) indices into ``LABELS``."""
    steps = sorted({*THRESHOLDS, threshold})
    points = tuple(_point(p_mask, labels, step, costs) for step in steps)
    used = next(p for p in points if p.threshold == threshold)
    cheapest = min(points, key=lambda p: (round(p.cost, 9), abs(p.threshold - threshold)))
    return Sweep(
        costs=costs,
        points=points,
        used=used,
        cheapest=cheapest,
        saving=used.cost - cheapest.cost,
        ci95=_saved(p_mask, labels, groups, (threshold, cheapest.threshold), costs),
    )


def cheapest_threshold(p_mask: Floats, labels: Ints, groups: Sequence[str], costs: Costs) -> float:
    """The threshold at which one face of each class costs least: the median over redrawn groups of the cheapest one.

    The median, because the one that is cheapest for these very faces hangs on a few of them. Where several cost the
    same the one nearest to one half counts, so that too few faces to tell give about one half.
    """
    is_mask = labels == MASK_AT
    wrong = (p_mask[:, None] >= np.array(THRESHOLDS)) != is_mask[:, None]  # (n, thresholds)
    of_class = np.eye(len(LABELS))[labels]
    table = np.hstack([of_class, *(wrong * of_class[:, [i]] for i in range(len(LABELS)))])
    by_distance = np.argsort(np.abs(np.array(THRESHOLDS) - 0.5), kind="stable")
    chosen = []
    for sums in resampled(table, groups):
        counts, mistakes = sums[: len(LABELS)], sums[len(LABELS) :].reshape(len(LABELS), -1)
        cost = np.round(np.array(costs.each) @ (mistakes / np.maximum(counts, 1)[:, None]), 9)
        chosen.append(THRESHOLDS[by_distance[np.argmin(cost[by_distance])]])
    return round(float(np.median(chosen)), 2)


def _point(p_mask: Floats, labels: Ints, threshold: float, costs: Costs) -> Point:
    s = score(p_mask, labels, threshold)
    wrong = (1 - s.mask_right, 1 - s.bare_right, s.incorrect_called_mask)
    return Point(threshold, *wrong, cost=float(np.nansum(np.array(wrong) * costs.each)))


def _saved(
    p_mask: Floats, labels: Ints, groups: Sequence[str], thresholds: tuple[float, float], costs: Costs
) -> tuple[float, float]:
    """Interval of what the second threshold costs less than the first, both on the same redrawn groups."""
    of_class = np.eye(len(LABELS))[labels]
    is_mask = labels == MASK_AT
    first, second = (of_class * ((p_mask >= t) != is_mask)[:, None] for t in thresholds)
    draws = []
    for sums in resampled(np.hstack([of_class, first - second]), groups):
        counts, fewer = np.split(sums, 2)
        draws.append(float((fewer / np.maximum(counts, 1)) @ costs.each))
    return interval(draws)
