"""Today's counts on disk, so that a restart at noon does not begin the day anew. One small file, replaced whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Final, cast, get_args

from edge.clock import ClockState
from edge.durable import replace_file
from edge.records import Label
from edge.state import Counts, Last, Tally

FILE: Final = "today.json"
_MAX_BYTES: Final = 4096


def read_tally(path: Path) -> Tally | None:
    """What was left there; None where there is none, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        return Tally(date.fromisoformat(kept["day"]), _counts(kept["today"]), _last(kept["last"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_tally(path: Path, tally: Tally) -> None:
    """Replace the file; a power cut leaves the old one or the new one. Raises OSError."""
    kept = {
        "day": tally.day.isoformat(),
        "today": asdict(tally.counts),
        "last": None if tally.last is None else asdict(tally.last),
    }
    replace_file(path, json.dumps(kept).encode())


def _counts(kept: dict[str, object]) -> Counts:
    values = [kept[label] for label in ("mask", "no_mask", "uncertain")]
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError("counts are whole numbers from 0")
    return Counts(*(int(str(value)) for value in values))


def _last(kept: dict[str, str] | None) -> Last | None:
    if kept is None:
        return None
    label, time, clock = kept["label"], kept["time"], kept["clock"]
    if label not in get_args(Label) or clock not in get_args(ClockState) or not isinstance(time, str):
        raise ValueError("no label, time and clock of an event")
    return Last(cast(Label, label), time, cast(ClockState, clock))
