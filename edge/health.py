"""The ``health`` object: facts of a running daemon, what is wrong among them, and what to do about each.

Published on ``.../health`` (docs/mqtt.md) and kept in the status file (``edge status``). No I/O here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge.board import Throttled
from edge.clock import ClockState
from edge.drift import LEAST, Past
from edge.records import AcceleratorTrouble

CameraState = Literal["ok", "absent", "lost", "frozen", "black", "blocked", "blurred"]

ACK_SILENCE_S: Final = 90.0  # three of our own messages on this topic, one of which comes every 30 s
CLOCK_GRACE_S: Final = 600.0  # for a network that comes up after the board
LOST_IS_NEWS_S: Final = 86_400.0  # a door looked at once a day shall tell of the loss, and not for ever

# Each reason with what to do. A table of them with more words: docs/operate.md.
REASONS: Final[dict[str, str]] = {
    "camera_absent": "no camera was found since the start: plug it in, check cable and power",
    "camera_lost": "the camera gives no frames any more: check cable, power and network",
    "camera_frozen": "the camera repeats one picture: it is opened again every minute; else cut its power once",
    "camera_black": "the picture is black: light at the door? something over the lens?",
    "camera_blocked": "the picture shows nothing: look for what covers the lens",
    "camera_blurred": "the picture is less sharp than usual: clean the lens, set the focus, then restart mask-edge",
    "accelerator_absent": "no Edge TPU was found since the start and nobody is judged: plug it in, see the log",
    "accelerator_failed": "the Edge TPU cannot be used: see the log's accelerator lines",
    "accelerator_lost": "the Edge TPU worked and does not any more: check cable, power and heat, see the log",
    "frames_late": "frames take longer than camera.frame_deadline_s: fewer pixels, more air, or a faster board",
    "broker_silent": "the broker acknowledges nothing: see the log's mqtt lines; events wait on disk",
    "broker_refuses": "the broker does not take all that is sent: see the log's mqtt lines; events wait on disk",
    "name_taken": "another client seems to use this device's name at the broker: give each a device.name of its own",
    "outbox_in_memory": "the disk takes no events: make room, or look after the card, before the next power cut",
    "events_dropped": "the oldest waiting events made room: bring the broker back, or raise outbox.max_events",
    "events_lost": "events could not be kept: see the log's outbox lines; look after the card",
    "hot": "fewer frames are looked at: give the board air or shade",
    "under_voltage": "the power supply is too weak: take the board maker's own",
    "throttled": "the board runs slower by itself: cool it, check its power supply",
    "drift_uncertain": "more people than usual cannot be told: lens, light, the camera's direction; see health.drift",
    "drift_sureness": "people are told less surely than usual: lens, light, the camera's direction; see health.drift",
    "drift_brightness": "the picture is brighter or darker than usual when people come: lamps, lens; see health.drift",
    "clock_unsynced": "nobody sets the clock: let the board reach a time server",
    "reload_refused": "the changed configuration cannot be used and the one before is: see the log, mend it, reload",
}


@dataclass(frozen=True, slots=True)
class OutboxFacts:
    """depth: events that wait. oldest_s: age of the oldest of them. dropped: events of this epoch that made room.

    lost: events found to be gone, by this start and since; None where nobody can tell how many. news: reasons of
    ``REASONS`` that the outbox gives.
    """

    depth: int
    oldest_s: float
    dropped: int
    lost: int | None
    news: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """fps, frame_age_s: of frames that went all the way through; None before the first.

    outbox, last_ack_s: None where there is no broker to feed; ``last_ack_s`` also where it never acknowledged anything.
    model: the bundle's tag. temperature_c: of the SoC. throttled, temperature_c: None where the board does not tell.
    clock: may the wall clock be believed? rss_mb: resident memory, MiB. uptime_s: of this process.
    broker_reasons: reasons of ``REASONS`` that the broker gives.
    drift: the door's last days; None where they are not watched.
    trial: of the latest new model, as ``edge.models.trial.standing`` tells it; None where there was none.
    late_frames: how many took longer than they may; is_late: one of the last minute did. accelerator: what is wrong
    with it, as far as the policy minds. is_hot: fewer frames are looked at for it. is_reload_refused: the configuration
    in force is not the one in the file.
    """

    camera: CameraState
    fps: float
    frame_age_s: float | None
    outbox: OutboxFacts | None
    last_ack_s: float | None
    model: str
    temperature_c: float | None
    throttled: Throttled | None
    clock: ClockState
    rss_mb: float
    uptime_s: float
    broker_reasons: tuple[str, ...] = ()
    drift: Past | None = None
    late_frames: int = 0
    is_late: bool = False
    accelerator: AcceleratorTrouble | None = None
    trial: dict[str, Any] | None = None
    is_hot: bool = False
    is_reload_refused: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """reasons: why the status is ``degraded``, in the order of ``REASONS``; none where it is ``ok``."""

    status: Literal["ok", "degraded"]
    reasons: tuple[str, ...]
    facts: Facts


def judge(facts: Facts) -> Health:
    found = reasons(facts)
    return Health("degraded" if found else "ok", tuple(reason for reason in REASONS if reason in found), facts)


def reasons(facts: Facts) -> set[str]:
    holds = {
        f"camera_{facts.camera}": facts.camera != "ok",
        f"accelerator_{facts.accelerator}": facts.accelerator is not None,
        "frames_late": facts.is_late,
        "broker_silent": is_silent(facts),
        "hot": facts.is_hot,
        "under_voltage": has(facts.throttled, "under_voltage"),
        "throttled": has(facts.throttled, "frequency_capped", "throttled", "soft_temperature_limit"),
        "clock_unsynced": facts.clock == "unsynced" and facts.uptime_s > CLOCK_GRACE_S,
        "reload_refused": facts.is_reload_refused,
    }
    held = {reason for reason, is_so in holds.items() if is_so}
    drifted = {f"drift_{measure}" for measure in facts.drift.alarms} if facts.drift else set()
    return held | drifted | set(facts.broker_reasons) | set(facts.outbox.news if facts.outbox else ())


def is_silent(facts: Facts) -> bool:
    silence_s = facts.uptime_s if facts.last_ack_s is None else facts.last_ack_s
    return facts.outbox is not None and silence_s > ACK_SILENCE_S


def has(throttled: Throttled | None, *names: str) -> bool:
    return throttled is not None and not set(names).isdisjoint(throttled.now)


def as_object(health: Health) -> dict[str, Any]:
    """The contract's object, ready for JSON."""
    facts = health.facts
    box, throttled = facts.outbox, facts.throttled
    return {
        "status": health.status,
        "reasons": list(health.reasons),
        "fps": round(facts.fps, 1),
        "frame_age_s": tenths(facts.frame_age_s),
        "late_frames": facts.late_frames,
        "outbox": box
        and {"depth": box.depth, "oldest_s": tenths(box.oldest_s), "dropped": box.dropped, "lost": box.lost},
        "last_ack_s": tenths(facts.last_ack_s),
        "camera": facts.camera,
        "model": facts.model,
        "temperature_c": tenths(facts.temperature_c),
        "throttled": throttled and {"now": list(throttled.now), "since_boot": list(throttled.since_boot)},
        "clock": facts.clock,
        "rss_mb": round(facts.rss_mb, 1),
        "uptime_s": round(facts.uptime_s),
        "drift": None if facts.drift is None else drift_object(facts.drift),
        "trial": facts.trial,
    }


def drift_object(past: Past) -> dict[str, Any]:
    """Each measure as it usually is (null while that is being learned) and as it was on the last full day."""
    last = past.last
    values = {
        str(measure): {
            "usual": thousandths(past.usual_value(measure)),
            "last": thousandths(last.value(measure)) if last else None,
        }
        for measure in LEAST
    }
    return {"days": len(past.usual), **values}


def thousandths(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def encode(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def in_words(health: Health) -> str:
    """One line for ``systemctl status``: what is wrong first, then frames, model, broker."""
    facts = health.facts
    trouble = f"degraded: {', '.join(health.reasons)}; " if health.reasons else ""
    return f"{trouble}{facts.fps:.1f} frames/s, model {facts.model}, {broker_in_words(facts)}"


def broker_in_words(facts: Facts) -> str:
    if facts.outbox is None:
        return "no broker"
    waiting = f", {facts.outbox.depth} events wait" if facts.outbox.depth else ""
    if facts.last_ack_s is None:
        return f"broker not reached yet{waiting}"
    is_well = facts.last_ack_s <= ACK_SILENCE_S
    return f"broker {'well' if is_well else f'silent for {facts.last_ack_s:.0f} s'}{waiting}"
