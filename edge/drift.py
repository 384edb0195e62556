"""Does the door still see as it saw in its own last weeks? Arithmetic over sums by day: no clock, no pixels, no I/O.

A day is 24 hours of running, and longer until enough people were decided. It has no date: a board whose clock nobody
set, or that was switched off for a month, needs none, and nobody can read from it who came when.

Three measures of a day, taken of its decisions:

uncertain: share of people that were called ``uncertain``; more is worse.
sureness: mean of the log-odds of ``p_mask``, without sign, as a share of the most that is ever told (1 in 1,000); less
    is worse. Not p_mask itself: a sequential test stops when it is sure, so that lies at 0.00 or 1.00 whatever the
    pictures are like; and not the share of masks, which is what people do and no fault of the door.
brightness: mean grey of the frames in which people were decided, 0-255; another is worse.

A day is *out* where a measure is further on its bad side of the usual than ``SPREADS`` standard errors of prediction
*and* than what matters. The third day out in a row is an alarm. Days that are out teach nothing, or a fault would be
the usual after three of them; after four weeks without a usual one between them they are the usual.
How often it cries for nothing, and how soon for something: benchmarks/drift_alarms.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, Literal

from edge.decide import TOTAL_LIMIT, log_odds

Measure = Literal["uncertain", "sureness", "brightness"]

DAY_S: Final = 86_400.0
PEOPLE: Final = 50  # of fewer, a share by itself differs by ten points from one day to the next
USUAL_DAYS: Final = 28
LEARNED_DAYS: Final = 21  # of fewer, nobody knows how much days differ here
OUT_DAYS: Final = 3  # in a row: more than a weekend
SPREADS: Final = 3.5
# The least that matters: 1 in 20 people, a twentieth of the certainty, a sixteenth of the light.
LEAST: Final[dict[Measure, float]] = {"uncertain": 0.05, "sureness": 0.05, "brightness": 16.0}


@dataclass(frozen=True, slots=True)
class Day:
    """Sums. running_s: seconds so far. sureness: over ``decided`` people; brightness: over ``lit`` frames.

    out: measures that were not as usual.
    """

    running_s: float = 0.0
    decided: int = 0
    uncertain: int = 0
    sureness: float = 0.0
    lit: int = 0
    brightness: float = 0.0
    out: tuple[Measure, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.running_s >= DAY_S and self.decided >= PEOPLE

    def plus(self, p_mask: float, *, is_uncertain: bool) -> Day:
        """With one person more."""
        sure = self.sureness + sureness(p_mask)
        return replace(self, decided=self.decided + 1, uncertain=self.uncertain + is_uncertain, sureness=sure)

    def value(self, measure: Measure) -> float | None:
        """None where there is too little to tell it from."""
        if measure == "brightness":
            return self.brightness / self.lit if self.lit >= PEOPLE / 2 else None
        if not self.decided:
            return None
        return (self.uncertain if measure == "uncertain" else self.sureness) / self.decided

    def count(self, measure: Measure) -> int:
        return self.lit if measure == "brightness" else self.decided


@dataclass(frozen=True, slots=True)
class Past:
    """usual: the last days that were as usual, oldest first, at most ``USUAL_DAYS``. out: those after them that were
    not; empty where the last one was."""

    usual: tuple[Day, ...] = ()
    out: tuple[Day, ...] = ()

    @property
    def last(self) -> Day | None:
        return (self.out or self.usual or (None,))[-1]

    @property
    def alarms(self) -> tuple[Measure, ...]:
        """Out in each of the last ``OUT_DAYS``."""
        latest = self.out[-OUT_DAYS:]
        return tuple(m for m in LEAST if len(latest) == OUT_DAYS and all(m in day.out for day in latest))

    def usual_value(self, measure: Measure) -> float | None:
        values = [value for day in self.usual if (value := day.value(measure)) is not None]
        return fmean(values) if len(values) >= LEARNED_DAYS else None

    def after(self, day: Day) -> Past:
        """With a day that is over."""
        out = tuple(measure for measure in LEAST if is_out(measure, day, self.usual))
        if not out:
            return Past((*self.usual, day)[-USUAL_DAYS:])
        days = (*self.out, replace(day, out=out))
        if len(days) < USUAL_DAYS:
            return Past(self.usual, days)
        return Past(tuple(replace(one, out=()) for one in days))


def is_out(measure: Measure, day: Day, usual: tuple[Day, ...]) -> bool:
    """Is this day further from the others than chance explains and than matters?

    The standard error of prediction (spread from day to day, and how little is known of their mean), widened for a day
    of fewer people than usual. For a share, never less than what counting so many people gives: a door where nobody has
    been uncertain yet must not be alarmed by the third who is.
    """
    known = [(value, one.count(measure)) for one in usual if (value := one.value(measure)) is not None]
    value = day.value(measure)
    if value is None or len(known) < LEARNED_DAYS:
        return False
    values, counts = [v for v, _ in known], [n for _, n in known]
    count, mean = day.count(measure), fmean(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    spread = variance * max(1.0, fmean(counts) / count)
    if measure == "uncertain":
        share = (sum(v * n for v, n in known) + 1) / (sum(counts) + 2)
        spread = max(spread, share * (1 - share) / count)
    error = math.sqrt(spread + variance / len(values))
    worse = worse_by(measure, value - mean)
    return worse > LEAST[measure] and worse > SPREADS * error


def worse_by(measure: Measure, difference: float) -> float:
    if measure == "brightness":
        return abs(difference)
    return difference if measure == "uncertain" else -difference


def sureness(p_mask: float) -> float:
    """0 (could be either) to 1 (as sure as an event ever is)."""
    return min(1.0, abs(log_odds(p_mask)) / TOTAL_LIMIT)
