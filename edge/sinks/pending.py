"""Events on their way to the broker: held until it acknowledged them.

In memory, for now. The durable outbox has the same three verbs (put, next, ack) over a table in SQLite.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that the broker has not acknowledged. seq: its number, rising."""

    seq: int
    payload: bytes


class Pending:
    """At most ``limit`` events in the order of ``seq``; the oldest makes room for the newest. Any thread may use it."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, is {limit}")
        self._limit = limit
        self._lock = threading.Lock()
        # Ordered, not a dict: taking the first of a plain dict again and again gets slower with what was deleted.
        self._events: OrderedDict[int, bytes] = OrderedDict()
        self._dropped = 0

    def put(self, seq: int, payload: bytes) -> None:
        """Hold the event. seq must be larger than all before."""
        with self._lock:
            self._events[seq] = payload
            if len(self._events) > self._limit:
                self._events.popitem(last=False)
                self._dropped += 1

    def next(self, after: int) -> Waiting | None:
        """The oldest event with a number above ``after`` (0: the oldest of all); None where there is none yet.

        Cheap as long as few events with smaller numbers are held, as with a window of unacknowledged ones.
        """
        with self._lock:
            for seq, payload in self._events.items():
                if seq > after:
                    return Waiting(seq, payload)
        return None

    def ack(self, seq: int) -> None:
        """The broker has the event; let go of it. One that is not held (dropped, say) is passed over."""
        with self._lock:
            self._events.pop(seq, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._events)

    @property
    def dropped(self) -> int:
        """How many events made room for newer ones, never delivered as far as we know."""
        with self._lock:
            return self._dropped
