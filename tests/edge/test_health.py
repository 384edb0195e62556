"""The health object: what makes it degraded, and that its JSON is the contract's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest

from edge.board import Throttled
from edge.drift import LEARNED_DAYS, OUT_DAYS
from edge.health import REASONS, CameraState, Facts, OutboxFacts, as_object, encode, in_words, judge
from edge.places import PACKAGE
from edge.records import AcceleratorTrouble
from tests.edge.test_drift import FAULTS, a_day, lived, some_usual

OPERATE = PACKAGE.parent / "docs" / "operate.md"
WELL = Facts(
    camera="ok",
    fps=14.93,
    frame_age_s=0.07,
    outbox=OutboxFacts(0, 0.0, 0, 0),
    last_ack_s=2.04,
    model="mask-mnv2@3f9ac2d1e0b7",
    temperature_c=56.212,
    throttled=Throttled((), ("under_voltage",)),
    clock="synced",
    rss_mb=151.31,
    uptime_s=86_400.4,
)


def test_the_schema_knows_every_word_that_the_code_says() -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "health-v1.json").read_text())["properties"]
    assert schema["reasons"]["items"]["enum"] == list(REASONS)
    assert schema["camera"]["enum"] == list(get_args(CameraState))


def test_a_daemon_that_is_well_is_ok_and_its_object_is_the_contract_s() -> None:
    assert json.loads(encode(as_object(judge(WELL)))) == {
        "status": "ok",
        "reasons": [],
        "fps": 14.9,
        "frame_age_s": 0.1,
        "late_frames": 0,
        "outbox": {"depth": 0, "oldest_s": 0.0, "dropped": 0, "lost": 0},
        "last_ack_s": 2.0,
        "camera": "ok",
        "model": "mask-mnv2@3f9ac2d1e0b7",
        "temperature_c": 56.2,
        "throttled": {"now": [], "since_boot": ["under_voltage"]},
        "clock": "synced",
        "rss_mb": 151.3,
        "uptime_s": 86400,
        "drift": None,
        "trial": None,
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *[({"camera": state}, f"camera_{state}") for state in ("absent", "lost", "frozen", "black", "blocked")],
        ({"camera": "blurred"}, "camera_blurred"),
        *[({"accelerator": trouble}, f"accelerator_{trouble}") for trouble in get_args(AcceleratorTrouble)],
        ({"late_frames": 1, "is_late": True}, "frames_late"),
        ({"last_ack_s": 91.0}, "broker_silent"),
        ({"last_ack_s": None}, "broker_silent"),
        ({"broker_reasons": ("broker_refuses",)}, "broker_refuses"),
        ({"broker_reasons": ("name_taken",)}, "name_taken"),
        ({"outbox": OutboxFacts(3, 9.0, 0, 0, ("outbox_in_memory",))}, "outbox_in_memory"),
        ({"outbox": OutboxFacts(3, 9.0, 7, 0, ("events_dropped",))}, "events_dropped"),
        ({"outbox": OutboxFacts(3, 9.0, 0, None, ("events_lost",))}, "events_lost"),
        ({"is_hot": True}, "hot"),
        ({"throttled": Throttled(("under_voltage",), ())}, "under_voltage"),
        ({"throttled": Throttled(("soft_temperature_limit",), ())}, "throttled"),
        ({"clock": "unsynced"}, "clock_unsynced"),
        *[
            ({"drift": lived([*some_usual(), *[day] * OUT_DAYS])}, f"drift_{measure}")
            for measure, day in FAULTS.items()
        ],
        ({"is_reload_refused": True}, "reload_refused"),
    ],
)
def test_every_reason_has_its_fact(changes: dict[str, Any], reason: str) -> None:
    health = judge(replace(WELL, **changes))
    assert (health.status, health.reasons) == ("degraded", (reason,))


@pytest.mark.parametrize(
    "changes",
    [
        {"uptime_s": 60.0, "last_ack_s": None},
        {"uptime_s": 60.0, "clock": "unsynced"},
        {"outbox": None, "last_ack_s": None},
        {"throttled": None, "temperature_c": None},
    ],
    ids=["broker not reached yet", "clock not set yet", "no broker", "a board that tells nothing"],
)
def test_what_may_still_come_and_what_is_not_there_is_no_fault(changes: dict[str, Any]) -> None:
    assert judge(replace(WELL, **changes)).status == "ok"


def test_the_drift_object_tells_the_usual_and_the_last_day() -> None:
    learning = as_object(judge(replace(WELL, drift=lived([a_day()]))))["drift"]
    assert learning == {
        "days": 1,
        "uncertain": {"usual": None, "last": 0.04},
        "sureness": {"usual": None, "last": 0.95},
        "brightness": {"usual": None, "last": 110.0},
    }
    knowing = as_object(judge(replace(WELL, drift=lived([a_day()] * LEARNED_DAYS))))["drift"]
    assert (knowing["days"], knowing["uncertain"]) == (21, {"usual": 0.04, "last": 0.04})
    schema = json.loads((OPERATE.parent / "schema" / "health-v1.json").read_text())
    for past in (lived([]), lived([a_day()]), lived([*some_usual(), *FAULTS.values()])):
        jsonschema.Draft202012Validator(schema).validate(as_object(judge(replace(WELL, drift=past))))


def test_reasons_keep_one_order_so_that_a_change_is_a_change() -> None:
    health = judge(replace(WELL, is_hot=True, camera="black", last_ack_s=100.0))
    assert health.reasons == ("camera_black", "broker_silent", "hot")


def test_systemctl_status_says_what_is_wrong_first() -> None:
    assert in_words(judge(WELL)) == "14.9 frames/s, model mask-mnv2@3f9ac2d1e0b7, broker well"
    away = replace(WELL, last_ack_s=200.0, outbox=OutboxFacts(12, 150.0, 0, 0))
    assert in_words(judge(away)) == (
        "degraded: broker_silent; 14.9 frames/s, model mask-mnv2@3f9ac2d1e0b7, broker silent for 200 s, 12 events wait"
    )


def test_every_reason_is_explained_for_operators() -> None:
    text = Path(OPERATE).read_text()
    assert [reason for reason in REASONS if f"| `{reason}` |" not in text] == []
