"""How often the drift alarm cries for nothing, and how soon for something: doors that are made up, years of them.

    python benchmarks/drift_alarms.py [--years 1000]

A door has so many people a day, of whom some are uncertain; days differ more than chance makes them (weather, crowds),
and one is like the one before. Every figure comes from the rule that runs on the device (``edge.drift``), the seed is
fixed. Brightness follows the year, its days differ, and so it tests the two-sided rule against a season.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.drift import DAY_S, LEAST, Day, Past

YEAR: Final = 365
LIKE_THE_DAY_BEFORE: Final = 0.5  # correlation from one day to the next
SETTLED: Final = 60  # days before something happens
WAITED: Final = 120
SEED: Final = 20261125


@dataclass(frozen=True, slots=True)
class Door:
    """people: a day. uncertain, sureness: of them, 0-1. spread: how much days differ, log-odds (standard deviation).

    weekend: more uncertain on two days of seven, log-odds. light: mean grey; light_spread: from day to day;
    season: half the way from winter to summer.
    """

    name: str
    people: int = 300
    uncertain: float = 0.04
    sureness: float = 0.95
    spread: float = 0.0
    weekend: float = 0.0
    light: float = 110.0
    light_spread: float = 6.0
    season: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """From a day on: log-odds more uncertain, grey levels less light; over ``days`` days (0: at once)."""

    name: str
    uncertain: float = 0.0
    light: float = 0.0
    days: int = 0


DOORS: Final = (
    Door("days differ by chance alone, 4% uncertain", spread=0.0, light_spread=2.0),
    Door("nobody is ever uncertain", uncertain=0.0005, sureness=0.99),
    Door("50 people a day, days differ by a third", people=50, spread=0.3),
    Door("300 people a day, days differ by a third", spread=0.3),
    Door("as before, 10% uncertain, days differ by half", uncertain=0.1, sureness=0.88, spread=0.5, light_spread=12.0),
    Door("as before, and twice as many uncertain on weekends", spread=0.3, weekend=0.7),
    Door("as before, with a season of 40 grey levels", spread=0.3, light_spread=12.0, season=40.0),
)
CHANGES: Final = (
    Change("uncertain from 4% to 10%, at once", uncertain=1.0),
    Change("uncertain from 4% to 16%, at once", uncertain=1.5),
    Change("uncertain from 4% to 16%, over 30 days", uncertain=1.5, days=30),
    Change("uncertain from 4% to 16%, over 90 days", uncertain=1.5, days=90),
    Change("a lamp less: 40 of 110 grey levels, at once", light=-40.0),
    Change("40 grey levels less, over 30 days", light=-40.0, days=30),
)
CHANGING: Final = Door("300 people a day, days differ by a third", spread=0.3)


def days_of(door: Door, count: int, rng: np.random.Generator, change: Change | None = None) -> list[Day]:
    weather, made = np.zeros(2), []
    for number in range(count):
        fresh = rng.standard_normal(2) * np.sqrt(1 - LIKE_THE_DAY_BEFORE**2)
        weather = LIKE_THE_DAY_BEFORE * weather + fresh if number else rng.standard_normal(2)
        share = 0.0
        if change and number >= SETTLED:
            share = min(1.0, (number - SETTLED + 1) / max(1, change.days))
        odds = np.log(door.uncertain / (1 - door.uncertain)) + door.spread * weather[0]
        odds += door.weekend * (number % 7 >= 5) + (share * change.uncertain if change else 0.0)
        p = 1 / (1 + np.exp(-odds))
        people = max(50, int(rng.poisson(door.people)))
        uncertain = int(rng.binomial(people, p))
        # The certain are about as sure as ever, and the uncertain a quarter as much.
        sure = np.clip(rng.normal(door.sureness, 0.1, people - uncertain), 0, 1).sum()
        sure += np.clip(rng.normal(0.25, 0.15, uncertain), 0, 1).sum()
        light = door.light + door.light_spread * weather[1] + (share * change.light if change else 0.0)
        light += door.season * np.sin(2 * np.pi * number / YEAR)
        grey = people * float(np.clip(light, 0, 255)) + rng.normal(0, 25 * np.sqrt(people))
        made.append(Day(DAY_S, people, uncertain, float(sure), people, max(0.0, grey)))
    return made


def false_alarms(door: Door, years: int, rng: np.random.Generator) -> tuple[float, float]:
    """Alarms that began in a year, and days of alarm in a year; of a door at which nothing happens."""
    began = told = 0
    for _ in range(years):
        past, before = Past(), False
        for day in days_of(door, YEAR, rng):
            past = past.after(day)
            began += bool(past.alarms) and not before
            before = bool(past.alarms)
            told += before
    return began / years, told / years


def delays(change: Change, doors: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Share of doors that were told within ``WAITED`` days, and median and 90% of the days until then."""
    found = []
    for _ in range(doors):
        past = Past()
        for number, day in enumerate(days_of(CHANGING, SETTLED + WAITED, rng, change)):
            past = past.after(day)
            if number >= SETTLED and past.alarms:
                found.append(number - SETTLED + 1)
                break
    middle, most = np.quantile(found, (0.5, 0.9)) if found else (np.nan, np.nan)
    return len(found) / doors, float(middle), float(most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1000, help="of each door")
    years = parser.parse_args().years
    print(f"measures: {', '.join(LEAST)}; {years} years of each door, all three together\n")
    print(f"{'nothing happens':<52}{'alarms a year':>14}{'years to one':>14}{'days told a year':>18}")
    for door in DOORS:
        began, told = false_alarms(door, years, np.random.default_rng(SEED))
        once = f"{1 / began:.0f}" if began else f"> {years}"
        print(f"{door.name:<52}{began:>14.3f}{once:>14}{told:>18.2f}")
    print(f"\n{'something happens, ' + CHANGING.name:<64}{'told':>6}{'median':>8}{'90%':>6}  days")
    for change in CHANGES:
        told, middle, most = delays(change, max(50, years // 3), np.random.default_rng(SEED))
        print(f"{change.name:<64}{told:>6.0%}{middle:>8.0f}{most:>6.0f}")


if __name__ == "__main__":
    main()
