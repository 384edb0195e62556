"""What a connection's threads tell its sender: notes in a queue, so that no callback can fail and no lock is needed."""

from __future__ import annotations

from dataclasses import dataclass, field

from paho.mqtt.reasoncodes import ReasonCode


@dataclass(frozen=True, slots=True)
class Answered:
    """CONNACK. maximum_packet: bytes; None where the broker names no limit."""

    reason: ReasonCode
    receive_maximum: int
    maximum_packet: int | None


@dataclass(frozen=True, slots=True)
class Acked:
    """PUBACK."""

    mid: int
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Down:
    """The connection is gone. reason: the broker's own, where it gave one."""

    reason: ReasonCode | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK."""

    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody published on the topic that we subscribe to. payload: its beginning."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be shown once, and the id of its event."""

    jpeg: bytes = field(repr=False)
    event_id: str


class Wake:
    """There is a new event, or the run ends."""


Note = Answered | Acked | Down | Subscribed | Heard | Picture | Wake
