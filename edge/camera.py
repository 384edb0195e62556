"""A camera that is opened again, and again, for as long as the daemon runs.

Under systemd a camera that is away or breaks off never ends the daemon: nobody is there to start it anew, and a service
that ends cannot say why. Everybody open is decided first (``run`` does that), and person numbers count on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from edge.backoff import Backoff
from edge.errors import EdgeError, InputMissing, Refused, Unavailable
from edge.records import Frame
from edge.run import Stop
from edge.sources import Source
from edge.sources.base import Closing

AWAY: Final = (InputMissing, Unavailable, Refused)  # what somebody at the door can mend while we wait
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
SLICE_S: Final = 1.0  # of a pause, between two looks at whether the run is to end
WORKED_S: Final = 60.0  # a camera that lasted as long may break off anew: then it is tried again at once


class Waiting(Protocol):
    """Who is told of a camera that is away."""

    def away(self, error: EdgeError, pause_s: float) -> None:
        """It could not be opened, or broke off; the next attempt is in ``pause_s`` seconds."""

    def retrying(self) -> None:
        """Still away, still being tried: called about once a second."""


class Onward(Closing):
    """A source that was opened again. Times and frame numbers go on from those before it, for a tracker must not see
    time go back; ``t_s`` is seconds since the *first* opening."""

    live = True

    def __init__(self, source: Source, offset_s: float, first_index: int) -> None:
        self.name = source.name
        self.last_s = offset_s
        self.next_index = first_index
        self._source = source
        self._offset_s = offset_s
        self._first_index = first_index

    @property
    def dropped(self) -> int:
        return self._source.dropped

    def read(self, timeout_s: float) -> Frame | None:
        frame = self._source.read(timeout_s)
        if frame is None:
            return None
        self.last_s = frame.t_s + self._offset_s
        self.next_index = frame.index + self._first_index + 1
        return replace(frame, t_s=self.last_s, index=self.next_index - 1)

    def close(self) -> None:
        self._source.close()


def keep_open(
    open_camera: Callable[[], Source],
    watch: Callable[[Source], None],
    waiting: Waiting,
    stop: Stop,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Open the camera and ``watch`` it until somebody asks to stop, or a script that stands for a camera ends.

    watch: returns at the end, raises what the source raised. What is not in ``AWAY`` ends the daemon: our own fault, a
    sink that failed, a source that cannot be meant.
    """
    backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S)
    began_s = clock()
    last_s, next_index = 0.0, 0
    while not is_asked(stop):
        opened_s = clock()
        try:
            with open_camera() as camera:
                source = Onward(camera, max(last_s, clock() - began_s), next_index)
                try:
                    watch(source)
                finally:
                    last_s, next_index = source.last_s, source.next_index
                    del source, camera  # or their memory is still taken when the next one asks for as much
            return
        except AWAY as error:
            if is_asked(stop):
                return
            if clock() - opened_s >= WORKED_S:
                backoff.reset()
            pause_s = backoff.next_s()
            waiting.away(error, pause_s)
            pause(pause_s, waiting, stop, sleep)


def pause(pause_s: float, waiting: Waiting, stop: Stop, sleep: Callable[[float], None]) -> None:
    while pause_s > 0 and not is_asked(stop):
        waiting.retrying()
        sleep(min(SLICE_S, pause_s))
        pause_s -= SLICE_S


def is_asked(stop: Stop) -> bool:
    """Does somebody wish the run to end?"""
    return stop.signal != 0
