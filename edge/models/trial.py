"""The trial of a new model: its record on disk, and the rules by which it is kept or given up. No I/O here.

Times are monotonic seconds that a daemon added up: a clock that is set, or a night without power, ends no trial.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA: Final = 1
State = Literal["on_trial", "going_back", "kept", "rolled_back"]
STATES: Final = ("on_trial", "going_back", "kept", "rolled_back")

WINDOW_S: Final = 600.0
WAIT_S: Final = 120.0  # the unit's watchdog takes 60 s to end a daemon that hangs, its restart 5 s
# The band. What a model may do worse than the one before; the figures of the README's models lie well inside.
RESTARTS: Final = 1  # by its own death, once at work; before that none is forgiven
LATENCY_TIMES: Final = 2.0
LATENCY_MORE_MS: Final = 50.0  # and so much more: twice of next to nothing is nothing
LATENCY_MS: Final = 500.0  # where nobody knows what the one before took
LATENCY_READS: Final = 10  # faces judged until their median is looked at
UNCERTAIN_MORE: Final = 0.2
UNCERTAIN: Final = 0.5  # where the one before decided too few to compare with
UNCERTAIN_PERSONS: Final = 20


@dataclass(frozen=True, slots=True)
class Doings:
    """What a model did since it was put to work.

    reads: faces judged. latency_ms: median over the latest of them, None where there were none. runtime: that ran it:
    an Edge TPU that comes or goes within a trial is no merit and no fault of a model.
    decided: persons decided, of whom ``uncertain`` remained so.
    """

    reads: int = 0
    latency_ms: float | None = None
    decided: int = 0
    uncertain: int = 0
    runtime: str = ""

    @property
    def share(self) -> float | None:
        """Of ``uncertain`` among the decided, 0-1; None where they are too few to say."""
        return self.uncertain / self.decided if self.decided >= UNCERTAIN_PERSONS else None


@dataclass(frozen=True, slots=True)
class Trial:
    """The record of the latest trial, open or over.

    model: tag of the one on trial. previous: tag of what served before, and serves again when it is given up.
    older: where the link ``previous`` pointed then. window_s, spent_s: how long the trial is, and how much of it is
    over; it counts while frames are judged. wait_s, waited_s: the same of the time until the model is at work.
    boot: id of the boot in which a daemon runs with it; empty where none runs or the last one ended in good order.
    why: it was kept or given up. before: what the previous model did.
    """

    model: str
    previous: str
    older: str | None
    window_s: float = WINDOW_S
    wait_s: float = WAIT_S
    state: State = "on_trial"
    why: str = ""
    spent_s: float = 0.0
    waited_s: float = 0.0
    restarts: int = 0
    boot: str = ""
    is_at_work: bool = False
    before: Doings = Doings()

    @property
    def is_open(self) -> bool:
        return self.state in ("on_trial", "going_back")

    @property
    def left_s(self) -> float:
        return max(0.0, self.window_s - self.spent_s) if self.is_open else 0.0


def started(trial: Trial, boot: str) -> tuple[Trial, str | None]:
    """A daemon starts under trial, in the boot of that id. Returns the record as it is now, and why the model is to be
    given up, None where it is not.

    A start in the same boot after one that did not end in good order: that one died. In another boot it may have been
    the power, which is no model's fault.
    """
    has_died = trial.boot == boot != ""
    now = dataclasses.replace(trial, boot=boot, restarts=trial.restarts + has_died)
    if has_died and not trial.is_at_work:
        return now, "the daemon died or hung while it took the model up"
    if now.restarts > RESTARTS:
        return now, f"the daemon died or hung {now.restarts} times within the trial"
    return now, None


def verdict(trial: Trial, doings: Doings) -> tuple[Literal["kept", "rolled_back"], str] | None:
    """Is it over, and why? None: it goes on."""
    if not trial.is_at_work:
        late = f"it was not at work within {trial.wait_s:g} s: it judged nothing"
        return ("rolled_back", late) if trial.waited_s >= trial.wait_s else None
    if wrong := out_of_band(trial.before, doings):
        return "rolled_back", wrong
    if trial.spent_s < trial.window_s:
        return None
    latency = "" if doings.latency_ms is None else f", {doings.latency_ms:.0f} ms a face"
    judged = f"{doings.reads} faces judged{latency}; {doings.uncertain} of {doings.decided} persons uncertain"
    return "kept", f"{trial.window_s / 60:g} minutes at work, {trial.restarts} restarts, {judged}"


def out_of_band(before: Doings, now: Doings) -> str | None:
    """What the new model does worse than may be, in words; None where it is in the band."""
    if now.latency_ms is not None and now.reads >= LATENCY_READS:
        limit_ms, before_ms = LATENCY_MS, before.latency_ms if before.runtime == now.runtime else None
        if before_ms is not None:
            limit_ms = max(LATENCY_TIMES * before_ms, before_ms + LATENCY_MORE_MS)
        if now.latency_ms > limit_ms:
            was = "" if before_ms is None else f", the model before took {before_ms:.0f} ms"
            return f"it takes {now.latency_ms:.0f} ms a face{was}; the limit is {limit_ms:.0f} ms"
    if now.share is not None:
        limit = UNCERTAIN if before.share is None else before.share + UNCERTAIN_MORE
        if now.share > limit:
            was = "" if before.share is None else f", the model before had {before.share:.0%}"
            return f"{now.uncertain} of {now.decided} persons remained uncertain{was}; the limit is {limit:.0%}"
    return None


def standing(trial: Trial) -> dict[str, Any]:
    """The trial as ``health``, ``edge status`` and ``edge model list`` tell it."""
    return {
        "model": trial.model,
        "previous": trial.previous,
        "state": trial.state,
        "at_work": trial.is_at_work,
        "left_s": round(trial.left_s),
        "restarts": trial.restarts,
        "why": trial.why,
    }


def in_words(told: dict[str, Any]) -> str:
    """One line, from what ``standing`` gave."""
    if told["state"] == "on_trial":
        at_work = "" if told["at_work"] else ", not at work yet"
        return f"{told['model']} on trial for {told['left_s']} s more{at_work}; before it {told['previous']}"
    verb = {"kept": "kept", "rolled_back": "given up", "going_back": "being given up"}[told["state"]]
    return f"{told['model']} {verb}: {told['why']}"


def encode(trial: Trial) -> bytes:
    return json.dumps({"v": SCHEMA, **dataclasses.asdict(trial)}, indent=1).encode()


def decode(data: bytes) -> Trial:
    """Raises ValueError for what is no record of this version."""
    try:
        kept = json.loads(data)
        if kept.pop("v") != SCHEMA or kept["state"] not in STATES:
            raise ValueError("another version's")
        return Trial(**{**kept, "before": Doings(**kept["before"])})
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no record of a trial: {error!r}") from error
