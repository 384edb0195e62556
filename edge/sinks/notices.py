"""What the broker retains beside the events: the latest word on each topic, said again on every connection."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """topic: whole. payload: JSON. expiry_s: after which the broker forgets it (MQTT 5), so that a stale one is seen
    to be stale; None keeps it for ever."""

    topic: str
    payload: bytes
    expiry_s: int | None = None


class Notices:
    """The latest notice of each topic. Any thread may use it.

    A broker that restarted empty, or that we were away from, gets all of them: whoever begins a connection asks for
    what came after version 0.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, Notice]] = {}
        self._version = 0

    def put(self, notice: Notice) -> None:
        """Take the place of what was said on this topic."""
        with self._lock:
            self._version += 1
            self._held[notice.topic] = self._version, notice

    def renew(self, topic: str) -> None:
        """Say again what was said on this topic; nothing where that is nothing."""
        with self._lock:
            if topic in self._held:
                self._version += 1
                self._held[topic] = self._version, self._held[topic][1]

    def after(self, version: int) -> tuple[int, Notice] | None:
        """The earliest notice that is newer than ``version``, with its own version; None where there is none."""
        with self._lock:
            return min((held for held in self._held.values() if held[0] > version), key=lambda h: h[0], default=None)
