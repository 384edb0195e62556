"""What earlier connections teach the next one: what the broker does not take, and whether somebody shares our name.

A broker need not say why it ends a connection. Two signs are left: what it owed us an answer to, and how soon it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SUSPECTED: Final = 2  # connections in a row that ended over one topic: one may be chance
LEFT_OUT_S: Final = 3600.0  # then it is tried again: the network may have been to blame, or somebody changed the rules
UNANSWERED: Final = 3  # connections in a row by MQTT 5 that a broker did not answer that has done so before
EVICTED: Final = 3  # connections in a row that ended soon, with every answer given


class Lessons:
    """Used by the sender; other threads may read.

    steady_s: a connection that lasted as long was a good one.
    refused: why the broker does not take what goes to a topic, by topic; said for the log.
    """

    def __init__(self, steady_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused: dict[str, str] = {}
        self.steady_s = steady_s
        self._clock = clock
        self._suspected: dict[str, tuple[int, float]] = {}  # by topic: how many times in a row, and when last
        self._evictions = 0
        self._has_answered = False
        self._unanswered = 0

    def answered(self) -> None:
        """It speaks MQTT 5."""
        self._has_answered, self._unanswered = True, 0

    def not_answered(self) -> bool:
        """It did not answer MQTT 5; is 3.1.1 to be tried? One that was slow once must not be taken for an old one: by
        3.1.1 nothing of ours expires, and what its access rules forbid is lost without a sign."""
        self._unanswered += 1
        return not self._has_answered or self._unanswered >= UNANSWERED

    def took(self, topic: str) -> None:
        """It has answered that it takes this."""
        self.refused.pop(topic, None)
        self._suspected.pop(topic, None)

    def suspect(self, topic: str) -> bool:
        """It ended the connection, and this is what it should have answered first. True: not for the first time."""
        times = self._suspected.get(topic, (0, 0.0))[0] + 1
        self._suspected[topic] = times, self._clock()
        return times >= SUSPECTED

    def is_left_out(self, topic: str) -> bool:
        times, last_s = self._suspected.get(topic, (0, 0.0))
        return times >= SUSPECTED and self._clock() - last_s < LEFT_OUT_S

    @property
    def is_rivalled(self) -> bool:
        """Somebody seems to log in by our client id again and again: each login throws the other off."""
        return self._evictions >= EVICTED

    def not_connected(self) -> None:
        """It let nobody in: then it, or the network, ended the connection before, and no rival."""
        self._evictions = 0

    def ended(self, lasted_s: float, *, owed_nothing: bool, is_told: bool = False) -> None:
        """A connection ended. is_told: the broker itself said that another client uses our id."""
        if is_told:
            self._evictions = EVICTED
        elif owed_nothing and lasted_s < self.steady_s:
            self._evictions += 1
        else:
            self._evictions = 0
