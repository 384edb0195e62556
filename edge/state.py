"""The door in three words: who is there, what was told last, and today's counts by label. Pure; no clock, no I/O.

A person is present from ``decided`` to ``left``, and counts once a day: on the day of ``decided``, under the label told
last (a ``changed`` moves them from one count to the other; not on a later day, where they were not counted).

The day is the clock's own, also where nobody has set it: a door without a network has midnights, too. Once a clock is
set that was not, what was counted since the start is of the day that it then turns out to be.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final

from edge.clock import ClockState
from edge.events import Event
from edge.records import Label

_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """People by label, from 0."""

    mask: int = 0
    no_mask: int = 0
    uncertain: int = 0

    def plus(self, label: Label, more: int) -> Counts:
        return replace(self, **{label: getattr(self, label) + more})

    def and_those(self, other: Counts) -> Counts:
        return Counts(self.mask + other.mask, self.no_mask + other.no_mask, self.uncertain + other.uncertain)


@dataclass(frozen=True, slots=True)
class Last:
    """The label told last, by ``decided`` or ``changed``; time and clock as in that event."""

    label: Label
    time: str
    clock: ClockState


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of a day by the local calendar, and what was told last: what outlives a restart."""

    day: date
    counts: Counts
    last: Last | None


@dataclass(frozen=True, slots=True)
class DoorState:
    """day: by the local calendar. is_day_sure: has the clock been set since the start?

    present: persons decided and not gone. counted: those of them who are among the counts of ``day``.
    since_start: counts of ``day`` in this run. earlier: what the run before left; counts where it is of ``day``.
    """

    day: date
    is_day_sure: bool
    present: frozenset[int] = frozenset()
    counted: frozenset[int] = frozenset()
    last: Last | None = None
    since_start: Counts = Counts()
    earlier: Tally | None = None

    @property
    def today(self) -> Counts:
        if self.earlier is None or self.earlier.day != self.day:
            return self.since_start
        return self.since_start.and_those(self.earlier.counts)

    @property
    def tally(self) -> Tally:
        return Tally(self.day, self.today, self.last)


def begin(day: date, is_day_sure: bool, earlier: Tally | None) -> DoorState:
    """At a start nobody is there: whoever stands at the door is a new person."""
    return DoorState(day, is_day_sure, last=earlier.last if earlier else None, earlier=earlier)


def on_day(state: DoorState, day: date, is_synced: bool) -> DoorState:
    """The state on this day; is_synced: has the clock been set?"""
    state, was_sure = replace(state, is_day_sure=state.is_day_sure or is_synced), state.is_day_sure
    if day == state.day:
        return state
    was_just_set = is_synced and not was_sure
    if was_just_set or state.day - day == _ONE_DAY:  # a correction by seconds may step back over midnight
        return replace(state, day=day)
    return replace(state, day=day, since_start=Counts(), counted=frozenset())


def after(state: DoorState, event: Event) -> DoorState:
    """The state once this event has been told; on the day that the state has."""
    person = frozenset({event.person})
    if event.type == "left":
        return replace(state, present=state.present - person, counted=state.counted - person)
    state = replace(state, present=state.present | person, last=Last(event.label, event.time, event.clock))
    if event.type == "decided":
        return replace(state, counted=state.counted | person, since_start=state.since_start.plus(event.label, 1))
    if event.was is None or event.person not in state.counted:
        return state
    return replace(state, since_start=state.since_start.plus(event.was, -1).plus(event.label, 1))


def encode_state(state: DoorState) -> bytes:
    """The payload of ``.../state``. ``since``: the local midnight from which ``today`` counts, RFC 3339."""
    fields = {
        "present": len(state.present),
        "last": None if state.last is None else asdict(state.last),
        "today": asdict(state.today),
        "since": midnight(state.day).isoformat(timespec="seconds"),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def midnight(day: date) -> datetime:
    """When the day begins here, with its offset; 23 or 25 hours before the next one where clocks are changed."""
    return datetime.combine(day, time()).astimezone()


def seconds_to_midnight(utc_s: float) -> float:
    """From this moment (seconds since 1970) to the next day by the local calendar."""
    return midnight(local_day(utc_s) + _ONE_DAY).timestamp() - utc_s


def local_day(utc_s: float) -> date:
    return datetime.fromtimestamp(utc_s).date()
