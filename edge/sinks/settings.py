"""What a sink must be told, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge.events import Event
from edge.records import ImageU8
from edge.sinks.notices import Notice


class Sink(Protocol):
    """Where events go. Used by one thread.

    name: as the user wrote it, for messages; holds no secret.
    wants_more: False once nobody reads any longer; a run whose sinks all say so may end, quietly.
    """

    @property
    def name(self) -> str: ...

    @property
    def wants_more(self) -> bool: ...

    def publish(self, event: Event, payload: bytes) -> None:
        """Take the event; returns at once, whatever the network does.

        payload: the event's bytes, encoded once by the caller and equal in all sinks.
        """

    def close(self, drain_s: float) -> None:
        """Deliver what is left for at most ``drain_s`` seconds, then let go.

        Raises Undelivered that says how many events are left.
        """


@runtime_checkable
class PictureSink(Protocol):
    """A sink that also takes pictures; it is given none unless somebody switched them on."""

    def show(self, event: Event, face_bgr: ImageU8) -> None:
        """Show the face of a decision, (side, side, 3) uint8, once, and forget it. Returns at once."""


@runtime_checkable
class Broker(Sink, Protocol):
    """A sink that also retains what a run says of itself.

    base_topic: of all its topics. last_ack_s: seconds since it last acknowledged anything; None: it never did.
    reasons: what else is wrong with it, as words of ``edge.health.REASONS``.
    """

    @property
    def base_topic(self) -> str: ...

    @property
    def last_ack_s(self) -> float | None: ...

    @property
    def reasons(self) -> tuple[str, ...]: ...

    def retain(self, notice: Notice) -> None:
        """Take the place of what was said on this topic; returns at once."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Section ``mqtt`` of the configuration.

    base_topic: None is ``mask-edge/<device>``.
    password_file: its first line is the password; None looks for systemd's credential ``mqtt_password``.
    ca_file: who may sign the broker's certificate; None is what the system trusts.
    cert_file, key_file: the device's own certificate, where the broker asks for one.
    allow_plaintext_password: let a password travel over plain ``mqtt://`` to another machine.
    keepalive_s: the broker calls us offline after one and a half of these without a sign of life.
    connect_timeout_s: per attempt, for TCP, TLS and the broker's answer each.
    ack_timeout_s: a broker that acknowledges nothing for this long is left and dialled again (two keepalives).
    retry_min_s, retry_max_s: pauses between attempts grow from one to the other, with jitter.
    refused_retry_s: the pause after a refused login; nobody mends a password in seconds.
    event_expiry_s: how long a broker may keep an event for a subscriber that is away (MQTT 5).
    discovery: tell Home Assistant of this device, and again when it starts.
    has_snapshot: pictures are published, so that Home Assistant is told where.
    """

    base_topic: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    allow_plaintext_password: bool = False
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    ack_timeout_s: float = 60.0
    retry_min_s: float = 1.0
    retry_max_s: float = 60.0
    refused_retry_s: float = 60.0
    event_expiry_s: int = 30 * 86_400
    discovery: bool = True
    has_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """What every sink of a run is told.

    info: what this installation is, for ``.../info``; nothing secret (version, schema, model, detector, runtime, ...).
    """

    device: str
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    info: Mapping[str, str | int] = field(default_factory=dict)
