"""The daemon's side of a trial: the daemon owns it, and gives a new model up by itself.

Nobody else need be there: the command that made the model active may have been cut off right after the switch. What
the daemon must know after its own death stands in ``trial.json`` before it dares the step that may kill it.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from edge.backoff import Backoff
from edge.errors import EdgeError
from edge.journal import asks
from edge.models.store import Stamp, Store
from edge.models.trial import Doings, Trial, standing, started, verdict

log = logging.getLogger(__name__)

SAVE_S: Final = 30.0  # so much of the time on trial a power cut may cost
AGAIN_S: Final = (60.0, 3600.0)  # before the model that shall serve is tried again, where it could not be loaded
REHEARSE_S: Final = 2.0  # between two looks of the model on trial at a door where nobody comes
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Working(Protocol):
    """What is to be known of a classifier."""

    @property
    def model(self) -> str: ...

    @property
    def runtime(self) -> str: ...

    @property
    def reads(self) -> int: ...

    @property
    def latency_ms(self) -> float | None: ...


class Deciding(Protocol):
    """Persons decided since the run began, and how many of them remained uncertain."""

    decided: int
    uncertain: int


class TrialWatch:
    """One for a daemon that follows the store. Every method that a running daemon calls never raises."""

    def __init__(self, store: Store, boot: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._boot = boot_id() if boot is None else boot
        self._clock = clock
        self._trial: Trial | None = None
        self._seen: Stamp = None  # trial.json as it was last read or written
        self._serving: Working | None = None
        self._deciding: Deciding | None = None
        self._decided = self._uncertain = 0  # when it began to serve
        self._looked_s = self._saved_s = self._rehearsed_s = clock()
        self._again = Backoff(*AGAIN_S)
        self._again_at_s = math.inf

    @property
    def standing(self) -> dict[str, Any] | None:
        """The latest trial, for ``health``; None where there was none."""
        return standing(self._trial) if self._trial else None

    @property
    def is_open(self) -> bool:
        """Is the model that serves on trial?"""
        trial, serving = self._trial, self._serving
        return trial is not None and trial.is_open and serving is not None and trial.model == serving.model

    # A daemon starts.

    def start(self) -> None:
        """Before any model is loaded: what a kill left half done is ended, and this start is counted."""
        if not self._read() or self._trial is None or not self._trial.is_open:
            return
        counted, why = started(self._trial, self._boot)
        self._write(counted)
        if why is not None:
            self._end_badly(why)
            return
        log.info("trial: %s, start under trial, %d restarts so far", counted.model, counted.restarts)

    def fails(self, why: str) -> bool:
        """The model on trial could not be loaded at the start. Is there another one now?"""
        if self._trial is None or not self._trial.is_open:
            return False
        return self._end_badly(why)

    def serve(self, classifier: Working, deciding: Deciding) -> None:
        """From now on this one judges. Told again of the same one, which runs elsewhere now, it goes on counting."""
        is_another = self._serving is None or self._serving.model != classifier.model
        self._serving, self._deciding = classifier, deciding
        if is_another:
            self._decided, self._uncertain = deciding.decided, deciding.uncertain
            self._looked_s = self._clock()

    def stop(self) -> None:
        """The daemon ends in good order: its next start tells nothing of the model."""
        if self._trial and self._trial.is_open:
            self._write(dataclasses.replace(self._trial, boot=""))

    # It runs.

    def is_news(self) -> bool:
        """Did a command change what shall serve? A file is looked at for it: no signal is needed."""
        try:
            if self.store.stamp() == self._seen:
                return False
            return self._read() and self._serving is not None and self.store.serving() != self._serving.model
        except (EdgeError, OSError) as error:
            log.error("trial: its record cannot be read: %s", error, extra=asks("trial_unwritten"))
            return False

    def before_reload(self, compare: Callable[[], None]) -> None:
        """Note what the model that serves does, and that from here on a death is the new one's.

        compare: lets the model that still serves judge something.
        """
        self.is_news()
        trial, serving = self._trial, self._serving
        if trial and trial.is_open and serving and trial.model != serving.model:
            compare()
            self._write(dataclasses.replace(trial, boot=self._boot, before=self._doings()))

    def after_reload(self, refusal: str | None) -> None:
        """The model on trial must serve now."""
        if self._trial and self._trial.is_open and not self.is_open:
            self._end_badly(refusal or "the configuration names another model")
        if refusal is None:
            self._again.reset()
        self._again_at_s = self._clock() + self._again.next_s() if refusal and self._is_behind() else math.inf

    def is_to_try_again(self) -> bool:
        """The model gone back to could not be loaded (a full memory, a failing card), so another one still judges: is
        it time for the next attempt? Nobody need come for it."""
        return self._clock() >= self._again_at_s

    def _is_behind(self) -> bool:
        try:
            return self._serving is not None and self.store.serving() != self._serving.model
        except (EdgeError, OSError):
            return True

    def wants_a_look(self) -> bool:
        """Is it time that the model on trial judges something, should nobody be at the door?"""
        now_s = self._clock()
        if not self.is_open or (self._trial and self._trial.is_at_work and now_s - self._rehearsed_s < REHEARSE_S):
            return False
        self._rehearsed_s = now_s
        return True

    def look(self, has_frames: bool) -> bool:
        """How does it go? To be called every second or so. True: the model before shall serve again, reload.

        has_frames: is the camera giving some? Without them the trial does not go on.
        """
        now_s = self._clock()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if not self.is_open or self._trial is None:
            return False
        trial = added(self._trial, passed_s, has_frames, self._doings().reads)
        ended = verdict(trial, self._doings())
        if ended is None:
            is_news = trial.is_at_work != self._trial.is_at_work
            self._trial = trial
            if is_news or now_s - self._saved_s >= SAVE_S:
                self._write(trial)
            return False
        self._trial = trial
        state, why = ended
        if state == "rolled_back":
            return self._end_badly(why)
        self._write(dataclasses.replace(trial, state="kept", why=why, boot=""))
        log.info("trial: %s is kept: %s", trial.model, why)
        return False

    def _doings(self) -> Doings:
        serving, deciding = self._serving, self._deciding
        if serving is None or deciding is None:
            return Doings()
        decided, uncertain = deciding.decided - self._decided, deciding.uncertain - self._uncertain
        return Doings(serving.reads, serving.latency_ms, decided, uncertain, serving.runtime)

    def _end_badly(self, why: str) -> bool:
        """Give the model up; is another one active now?"""
        assert self._trial
        log.error(
            "trial: %s is given up, %s serves again: %s",
            self._trial.model,
            self._trial.previous,
            why,
            extra=asks("model_given_up"),
        )
        try:
            self._trial = self.store.go_back(self._trial.model, why)
            self._seen = self.store.stamp()
        except (EdgeError, OSError) as error:
            log.error("trial: the links cannot be set back: %s", error, extra=asks("trial_unwritten"))
            return False
        return True

    def _read(self) -> bool:
        try:
            self._trial = self.store.settle()
            self._seen = self.store.stamp()
        except (EdgeError, OSError) as error:
            log.error("trial: its record cannot be read: %s", error, extra=asks("trial_unwritten"))
            return False
        return True

    def _write(self, trial: Trial) -> None:
        """A disk that takes nothing is no reason to stop: then a restart knows less. What a command wrote meanwhile
        stays, and is news at the next look."""
        self._trial, self._saved_s = trial, self._clock()
        try:
            if self.store.save(trial, self._seen):
                self._seen = self.store.stamp()
        except (EdgeError, OSError) as error:
            log.error("trial: its record cannot be written: %s", error, extra=asks("trial_unwritten"))


def added(trial: Trial, passed_s: float, has_frames: bool, reads: int) -> Trial:
    """The record with the time that passed: until the model is at work, then on trial."""
    if not trial.is_at_work and not reads:
        return dataclasses.replace(trial, waited_s=trial.waited_s + passed_s)
    spent_s = trial.spent_s + passed_s * (has_frames and trial.is_at_work)
    return dataclasses.replace(trial, is_at_work=True, spent_s=spent_s)


def boot_id() -> str:
    """Differs from boot to boot (random(4)); empty where the kernel does not tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
