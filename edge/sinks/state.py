"""The topic ``.../state``: right after each event, at local midnight, and over a restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

from edge.clock import Clock, SystemClock
from edge.events import Event
from edge.journal import asks
from edge.sinks.tally_file import read_tally, write_tally
from edge.state import after, begin, encode_state, local_day, on_day, seconds_to_midnight

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0  # for a write that is under way
LOOK_S: Final = 60.0  # between looks at the calendar and writes of the file: a clock may be set at any moment


class StateSink:
    """A sink that tells of the door as a whole.

    say: takes each new payload, from any thread. file: today's counts, read now, written at most once a minute and at
    the end; a disk that refuses costs the counts at the next start, nothing else.
    """

    name = "state"
    wants_more = True

    def __init__(self, say: Callable[[bytes], None], file: Path, clock: Clock | None = None) -> None:
        self._say = say
        self._file = file
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()  # the pipeline tells events, our thread turns the day
        self._state = begin(self._today(), self._clock.is_synced(), read_tally(file))
        self._on_disk = self._state.tally
        self._refused = False
        self._ended = threading.Event()
        say(encode_state(self._state))
        self._thread = threading.Thread(target=self._watch, name="state-midnight", daemon=True)
        self._thread.start()

    def publish(self, event: Event, payload: bytes) -> None:
        with self._lock:
            self._turn_day()
            self._state = after(self._state, event)
            self._say(encode_state(self._state))

    def look(self) -> None:
        """Turn the day where it is over, and write down what has changed."""
        with self._lock:
            before = self._state
            self._turn_day()
            if self._state != before:
                self._say(encode_state(self._state))
        self._save()

    def close(self, drain_s: float) -> None:
        self._ended.set()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():  # else the disk hangs, and would hold us, too
            self._save()

    def _turn_day(self) -> None:
        self._state = on_day(self._state, self._today(), self._clock.is_synced())

    def _today(self) -> date:
        return local_day(self._clock.utc_s())

    def _watch(self) -> None:
        while not self._ended.wait(min(LOOK_S, max(1.0, seconds_to_midnight(self._clock.utc_s())))):
            try:
                self.look()
            except Exception:  # ours, whatever it is; the topic must live on
                log.exception("state: unexpected fault, trying again", extra=asks("fault"))

    def _save(self) -> None:
        """Called by one thread at a time, and without the lock: a slow disk must not hold up the pipeline."""
        tally = self._state.tally
        if tally == self._on_disk:
            return
        try:
            self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            write_tally(self._file, tally)
        except OSError as error:
            level = logging.DEBUG if self._refused else logging.WARNING
            log.log(level, "state: %s: %s: a restart would begin today's counts anew", self._file, error.strerror)
            self._refused = True
            return
        self._on_disk, self._refused = tally, False
