"""Events: what leaves the device, one JSON object per decision. Format and meaning: docs/mqtt.md, docs/schema.

An event is encoded once; file line, outbox row and MQTT payload are the same bytes, also on replay.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import string
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, cast, get_args

from edge.clock import Clock, ClockState, SystemClock, clock_state, rfc3339_ms
from edge.errors import DataError
from edge.records import INCORRECT, NO_MASK, Box, Label, Verdict
from edge.topics import check_name

SCHEMA_VERSION: Final = 1
EPOCH_LENGTH: Final = 6
_BASE36: Final = string.digits + string.ascii_lowercase
_EPOCH: Final = re.compile(r"[0-9a-z]{6}")

EventType = Literal["decided", "changed", "left"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the contract, its fields in the order of the line.

    id: ``device:epoch:seq``, unique for ever. seq: from 1 without gaps within an epoch.
    time: UTC of the frame, RFC 3339 with milliseconds. clock: whether that may be believed.
    person: from 1 per camera and daemon start. p_mask: calibrated probability of ``mask``, 0-1, over ``looks`` looks.
    box: x, y, width, height in whole pixels of the frame as captured, after rotation; may reach over its border.
    frame: index in the source. t: seconds since the source began. model: bundle name @ 12 hex digits.
    worn: only with ``no_mask``. was: only with ``changed``. stayed_s: seconds in view, only with ``left``.
    """

    id: str
    seq: int
    type: EventType
    time: str
    clock: ClockState
    device: str
    camera: str
    person: int
    label: Label
    p_mask: float
    looks: int
    box: tuple[int, int, int, int]
    frame: int
    t: float
    model: str
    worn: Literal["incorrect"] | None = None
    was: Label | None = None
    stayed_s: float | None = None
    v: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuses what no consumer could read: ValueError is our own fault, never the user's."""
        if not 0 <= self.p_mask <= 1:  # also refuses NaN
            raise ValueError(f"p_mask must be 0-1, is {self.p_mask} in event {self.id}")
        if not (math.isfinite(self.t) and math.isfinite(self.stayed_s or 0)):
            raise ValueError(f"t and stayed_s must be finite in event {self.id}")
        if self.worn and self.label != NO_MASK:
            raise ValueError(f"worn belongs to no_mask, not to {self.label}, in event {self.id}")
        if (self.type == "changed") != (self.was is not None):
            raise ValueError(f"was belongs to changed, and changed needs it, in event {self.id}")
        if (self.type == "left") != (self.stayed_s is not None):
            raise ValueError(f"stayed_s belongs to left, and left needs it, in event {self.id}")


class EventWriter:
    """Turns verdicts into numbered events.

    epoch: 6 characters of 0-9 a-z, born with the outbox, or with a run without one; None draws one.
    first_seq: 1, but for an outbox that goes on counting.
    Raises ConfigError where a name cannot stand in an id.
    """

    def __init__(
        self,
        device: str,
        camera: str,
        model: str,
        *,
        clock: Clock | None = None,
        epoch: str | None = None,
        first_seq: int = 1,
    ) -> None:
        self.device = check_name("device", device)
        self.camera = check_name("camera", camera)
        self.model = model
        self.epoch = new_epoch() if epoch is None else epoch
        if not _EPOCH.fullmatch(self.epoch):
            raise ValueError(f"an epoch is 6 characters of 0-9 a-z, not {self.epoch!r}")
        self._clock: Clock = clock or SystemClock()
        self._next_seq = first_seq

    @property
    def written(self) -> int:
        """The last number given; 0 before the first."""
        return self._next_seq - 1

    def write(self, verdict: Verdict, *, box: Box, frame: int, t_s: float, utc_s: float) -> Event:
        """The verdict as the next event.

        frame, t_s, utc_s: of the frame in which it became known (for ``left``: after ``return_s`` without a sight).
        box: where the person was last seen.
        A verdict that cannot be written (ValueError) takes no number, so that ``seq`` keeps no gap.
        """
        event = Event(
            id=f"{self.device}:{self.epoch}:{self._next_seq}",
            seq=self._next_seq,
            type=verdict.kind,
            time=rfc3339_ms(utc_s),
            clock=clock_state(self._clock),
            device=self.device,
            camera=self.camera,
            person=verdict.person,
            label=verdict.label,
            p_mask=_rounded(verdict.p_mask),
            looks=verdict.looks,
            box=(round(box.x), round(box.y), round(box.width), round(box.height)),
            frame=frame,
            t=_rounded(t_s),
            model=self.model,
            worn="incorrect" if verdict.incorrect and verdict.label == NO_MASK else None,
            was=verdict.was if verdict.kind == "changed" else None,
            stayed_s=_rounded(verdict.stayed_s or 0.0) if verdict.kind == "left" else None,
        )
        self._next_seq += 1
        return event


def new_epoch() -> str:
    """Random, not counted: a device that was set up anew must not repeat an id (36**6 is two thousand million)."""
    return "".join(secrets.choice(_BASE36) for _ in range(EPOCH_LENGTH))


def encode(event: Event) -> bytes:
    """The event's bytes, final: compact JSON, UTF-8, no line break; fields in the contract's order."""
    fields: dict[str, object] = {
        "v": event.v,
        "id": event.id,
        "seq": event.seq,
        "type": event.type,
        "time": event.time,
        "clock": event.clock,
        "device": event.device,
        "camera": event.camera,
        "person": event.person,
        "label": event.label,
        "p_mask": _rounded(event.p_mask),
        "looks": event.looks,
        "box": list(event.box),
        "frame": event.frame,
        "t": _rounded(event.t),
        "model": event.model,
    }
    if event.worn is not None:
        fields["worn"] = event.worn
    if event.was is not None:
        fields["was"] = event.was
    if event.stayed_s is not None:
        fields["stayed_s"] = _rounded(event.stayed_s)
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(payload: bytes) -> Event:
    """The event in these bytes; fields that a later version added are passed over.

    Raises DataError that names the field which is missing or wrong, or the version we do not know.
    """
    fields = _Fields(_parse(payload))
    if (version := fields.whole("v")) != SCHEMA_VERSION:
        raise DataError(f"event has schema version {version}, this program reads {SCHEMA_VERSION}: update it")
    try:
        return _event_of(fields)
    except ValueError as err:
        raise DataError(f"not an event: {err}") from None


def _event_of(fields: _Fields) -> Event:
    return Event(
        id=fields.text("id"),
        seq=fields.whole("seq"),
        type=cast(EventType, fields.one_of("type", get_args(EventType))),
        time=fields.text("time"),
        clock=cast(ClockState, fields.one_of("clock", get_args(ClockState))),
        device=fields.text("device"),
        camera=fields.text("camera"),
        person=fields.whole("person"),
        label=cast(Label, fields.one_of("label", get_args(Label))),
        p_mask=fields.number("p_mask"),
        looks=fields.whole("looks"),
        box=fields.box("box"),
        frame=fields.whole("frame"),
        t=fields.number("t"),
        model=fields.text("model"),
        worn=cast(Literal["incorrect"], fields.one_of("worn", (INCORRECT,))) if fields.has("worn") else None,
        was=cast(Label, fields.one_of("was", get_args(Label))) if fields.has("was") else None,
        stayed_s=fields.number("stayed_s") if fields.has("stayed_s") else None,
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """A parsed object whose fields are asked for by type; a wrong one is a DataError with its name."""

    given: dict[str, object]

    def has(self, name: str) -> bool:
        return name in self.given

    def text(self, name: str) -> str:
        value = self._get(name)
        return value if isinstance(value, str) else self._refuse(name, "text")

    def whole(self, name: str) -> int:
        value = self._get(name)
        return value if isinstance(value, int) and _is_whole(value) else self._refuse(name, "a whole number")

    def number(self, name: str) -> float:
        value = self._get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > _LARGEST:
            self._refuse(name, "a number")
        return float(value)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self._get(name)
        return value if isinstance(value, str) and value in allowed else self._refuse(name, " or ".join(allowed))

    def box(self, name: str) -> tuple[int, int, int, int]:
        value = self._get(name)
        if not isinstance(value, list) or len(value) != 4 or not all(_is_whole(part) for part in value):
            self._refuse(name, "four whole numbers")
        x, y, width, height = value
        return x, y, width, height

    def _get(self, name: str) -> object:
        if name not in self.given:
            raise DataError(f"not an event: field {name!r} is missing")
        return self.given[name]

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        raise DataError(f"not an event: field {name!r} must be {wanted}, is {str(self.given[name])[:40]!r}")


_LARGEST: Final = 1e15  # beyond it, a float no longer holds milliseconds


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    """To three decimals; minus zero becomes zero."""
    return round(float(value), 3) + 0.0


def _parse(payload: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(payload)
    except (ValueError, RecursionError) as err:  # ValueError: bad JSON, bad UTF-8, numbers of thousands of digits
        raise DataError(f"not an event: {err}") from None
    if not isinstance(parsed, dict):
        raise DataError("not an event: not a JSON object")
    return parsed
