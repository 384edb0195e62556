"""What is the same for every connection of a run: the way to the broker, and the end of it all."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass, field

from edge.sinks.mqtt_address import Address
from edge.sinks.settings import MqttSettings


@dataclass(frozen=True, slots=True)
class Line:
    """What is the same for every connection of a run. discovery_topic: None where Home Assistant is told nothing."""

    address: Address
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None
    client_id: str
    base_topic: str
    snapshot_topic: str
    discovery_topic: str | None
    settings: MqttSettings


class Closing:
    """The end of the run, and how long the last events may take."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._deadline_mono_s = 0.0

    def begin(self, drain_s: float) -> None:
        self._deadline_mono_s = time.monotonic() + max(drain_s, 0.0)
        self._begun.set()

    @property
    def has_begun(self) -> bool:
        return self._begun.is_set()

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, never below 0; None while the run goes on."""
        return max(0.0, self._deadline_mono_s - time.monotonic()) if self.has_begun else None

    def wait_begun(self, timeout_s: float) -> bool:
        return self._begun.wait(timeout_s)
