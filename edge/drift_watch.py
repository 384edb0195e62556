"""The door's days, counted as they go by and kept over a restart: sums in one small file, replaced whole.

Written at most every ten minutes, and only if somebody came: 4 to 9 KB, 1.3 MB a day at the busiest door. A folder
that takes no file costs what was learned at the next start, nothing else.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge.drift import LEAST, USUAL_DAYS, Day, Measure, Past
from edge.durable import replace_file
from edge.events import Event
from edge.records import UNCERTAIN, Frame

log = logging.getLogger(__name__)

FILE: Final = "drift.json"
SAVE_S: Final = 600.0
SAMPLE_STEP: Final = 8  # every 8th pixel both ways is enough for a mean
_MAX_BYTES: Final = 65_536
_SUMS: Final = ("running_s", "sureness", "brightness")
_COUNTS: Final = ("decided", "uncertain", "lit")


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives a restart. model: the tag of the bundle that judged all this; another's days are no measure.

    before: what the model before this one had learned, for its return: a failed trial must not cost weeks.
    """

    model: str = ""
    past: Past = field(default_factory=Past)
    today: Day = field(default_factory=Day)
    before: Kept | None = None

    def under(self, model: str) -> Kept:
        """What counts while ``model`` judges."""
        if model == self.model:
            return self
        back = self.before if self.before and self.before.model == model else Kept(model)
        return replace(back, before=replace(self, before=None) if self.model else None)


class DriftWatch:
    """Used by the thread that reads and judges. file: where it is kept. clock: monotonic seconds."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._kept = read_kept(file)
        self._unlit = 0  # people decided since the last frame was looked at
        self._at_s = clock()
        self._saved_s = self._at_s
        self._is_changed = self._is_refused = False

    @property
    def past(self) -> Past:
        return self._kept.past

    def count(self, event: Event) -> None:
        """Every event that is told; people count when they are decided."""
        if event.type != "decided":
            return
        kept = self._kept.under(event.model)
        today = kept.today.plus(event.p_mask, is_uncertain=event.label == UNCERTAIN)
        self._kept = replace(kept, today=today)
        self._unlit += 1
        self._is_changed = True

    def look(self, frame: Frame) -> None:
        """The frame in which people may just have been decided."""
        if self._unlit:
            grey = float(frame.image_bgr[::SAMPLE_STEP, ::SAMPLE_STEP, 1].mean())  # green is most of it
            today = self._kept.today
            today = replace(today, lit=today.lit + self._unlit, brightness=today.brightness + self._unlit * grey)
            self._kept, self._unlit = replace(self._kept, today=today), 0

    def tick(self) -> None:
        """Let time go by: to be called now and then while the daemon runs."""
        now_s = self._clock()
        today = replace(self._kept.today, running_s=self._kept.today.running_s + max(0.0, now_s - self._at_s))
        self._at_s = now_s
        if today.is_over:
            self._kept = replace(self._kept, past=self.past.after(today), today=Day())
            self._is_changed = True
        else:
            self._kept = replace(self._kept, today=today)
        if self._is_changed and now_s - self._saved_s >= SAVE_S:
            self._save()

    def close(self) -> None:
        self.tick()
        if self._is_changed:
            self._save()

    def _save(self) -> None:
        self._saved_s = self._clock()
        try:
            self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            replace_file(self._file, encode(self._kept))
        except OSError as error:
            level = logging.DEBUG if self._is_refused else logging.WARNING
            log.log(level, "drift: %s: %s: a restart would forget these days", self._file, error.strerror)
            self._is_refused = True
            return
        self._is_changed = self._is_refused = False


def read_kept(file: Path) -> Kept:
    """What was left there; nothing where there is none, or nothing that can be read."""
    try:
        with file.open("rb") as stream:
            fields = json.loads(stream.read(_MAX_BYTES))
        before = fields.get("before")
        return replace(kept_of(fields), before=kept_of(before) if before else None)
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        log.info("drift: %s cannot be used (%s): the usual is learned anew", file, error)
        return Kept()


def encode(kept: Kept) -> bytes:
    before = {"before": fields_of(kept.before)} if kept.before else {}
    return json.dumps({"v": 1, **fields_of(kept), **before}).encode()


def fields_of(kept: Kept) -> dict[str, Any]:
    """Of itself, not of what was before."""
    return {
        "model": kept.model,
        "today": line_of(kept.today),
        "usual": [line_of(day) for day in kept.past.usual],
        "out": [line_of(day) for day in kept.past.out],
    }


def kept_of(fields: dict[str, Any]) -> Kept:
    """Raises ValueError, KeyError or TypeError where these are not what ``fields_of`` makes."""
    model = fields["model"]
    if not isinstance(model, str):
        raise TypeError("model is a name")
    usual, out = (tuple(day_of(one) for one in fields[name][:USUAL_DAYS]) for name in ("usual", "out"))
    return Kept(model, Past(usual, out), day_of(fields["today"]))


def line_of(day: Day) -> dict[str, Any]:
    fields = asdict(day)
    return {**fields, **{name: round(fields[name], 3) for name in _SUMS}}


def day_of(fields: dict[str, Any]) -> Day:
    """Raises ValueError, KeyError or TypeError where these cannot be sums of a day."""
    sums = {name: fields[name] for name in (*_SUMS, *_COUNTS)}
    if not all(type(sums[name]) is int for name in _COUNTS):
        raise ValueError("counts are whole numbers")
    if not all(type(value) in (int, float) and math.isfinite(value) and 0 <= value < 1e12 for value in sums.values()):
        raise ValueError("sums are numbers from 0")
    if sums["uncertain"] > sums["decided"] or sums["sureness"] > sums["decided"] + 1:
        raise ValueError("more than all")
    out: tuple[Measure, ...] = tuple(measure for measure in LEAST if measure in fields["out"])
    return Day(**sums, out=out)
