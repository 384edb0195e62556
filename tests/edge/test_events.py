"""Events: the contract's bytes, and nothing a consumer could stumble over."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import FakeClock
from edge.errors import ConfigError, DataError
from edge.events import SCHEMA_VERSION, Event, EventType, EventWriter, decode, encode, new_epoch
from edge.records import Box, Label, Verdict
from edge.topics import availability_topic, check_base, default_base, event_topic, info_topic

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "event-v1.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
CONTRACT_LINE = (
    b'{"v":1,"id":"front-door:k3f9a2:17","seq":17,"type":"decided","time":"2026-11-23T08:15:02.123Z","clock":"synced",'
    b'"device":"front-door","camera":"main","person":41,"label":"no_mask","p_mask":0.012,"looks":7,"box":[412,96,88,88],'
    b'"frame":1734,"t":57.8,"model":"mask-mnv2@3f9ac2d1e0b7"}'
)
UTC_S = 1_795_421_702.123  # 2026-11-23T08:15:02.123Z
DECIDED = Verdict("decided", person=41, label="no_mask", p_mask=0.0123, looks=7)


def writer(first_seq: int = 1, clock: FakeClock | None = None) -> EventWriter:
    clock = clock or FakeClock()
    return EventWriter("front-door", "main", "mask-mnv2@3f9ac2d1e0b7", clock=clock, epoch="k3f9a2", first_seq=first_seq)


def write(verdict: Verdict, to: EventWriter | None = None) -> Event:
    return (to or writer()).write(verdict, box=Box(411.8, 96.2, 88.4, 87.6), frame=1734, t_s=57.8, utc_s=UTC_S)


def fields(event: Event) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(encode(event)))


def test_event_is_the_contracts_line_byte_for_byte() -> None:
    assert encode(write(DECIDED, writer(first_seq=17))) == CONTRACT_LINE


def test_contracts_line_is_read_and_gives_itself_again() -> None:
    assert encode(decode(CONTRACT_LINE)) == CONTRACT_LINE


def test_numbers_count_from_1_without_gaps_and_stand_in_the_id() -> None:
    to = writer()
    assert [(event.seq, event.id) for event in (write(DECIDED, to), write(DECIDED, to))] == [
        (1, "front-door:k3f9a2:1"),
        (2, "front-door:k3f9a2:2"),
    ]
    assert to.written == 2


def test_verdict_that_cannot_be_written_takes_no_number() -> None:
    to = writer()
    with pytest.raises(ValueError, match="p_mask"):
        write(Verdict("decided", 1, "uncertain", math.nan, 0), to)
    assert write(DECIDED, to).seq == 1


def test_each_run_has_an_epoch_of_its_own() -> None:
    epochs = {new_epoch() for _ in range(1000)}
    assert len(epochs) == 1000
    assert all(len(epoch) == 6 and epoch.isalnum() and epoch == epoch.lower() for epoch in epochs)


def test_badly_worn_mask_is_no_mask_with_worn_incorrect() -> None:
    event = fields(write(Verdict("decided", 1, "no_mask", 0.2, 5, incorrect=True)))
    assert (event["label"], event["worn"]) == ("no_mask", "incorrect")


@pytest.mark.parametrize("label", ["mask", "uncertain"])
def test_worn_stands_only_with_no_mask(label: Label) -> None:
    assert "worn" not in fields(write(Verdict("decided", 1, label, 0.6, 5, incorrect=True)))


def test_changed_says_what_was_and_left_says_how_long() -> None:
    changed = fields(write(Verdict("changed", 1, "mask", 0.9, 9, was="no_mask")))
    left = fields(write(Verdict("left", 1, "mask", 0.9, 9, was="no_mask", stayed_s=4.23449)))
    assert (changed["was"], changed.get("stayed_s")) == ("no_mask", None)
    assert (left.get("was"), left["stayed_s"]) == (None, 4.234)


def test_clock_that_nobody_set_is_told() -> None:
    clock = FakeClock(synced=False)
    to = writer(clock=clock)
    before = write(DECIDED, to)
    clock.synced = True
    assert (before.clock, write(DECIDED, to).clock) == ("unsynced", "synced")


@pytest.mark.parametrize("name", ["", "Front", "front door", "door/1", "a" * 65, "tür", "door\n"])
def test_device_name_that_cannot_stand_in_a_topic_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="device must be 1 to 64"):
        EventWriter(name, "main", "m@0")


def test_topics_are_those_of_the_contract() -> None:
    base = default_base("front-door")
    assert (event_topic(base), availability_topic(base), info_topic(base)) == (
        "mask-edge/front-door/event",
        "mask-edge/front-door/availability",
        "mask-edge/front-door/info",
    )


@pytest.mark.parametrize("base", ["", "a/#", "+/a", "/a", "a/", "$SYS", "a\nb", "a" * 257])
def test_base_topic_that_a_broker_would_stumble_over_is_refused(base: str) -> None:
    with pytest.raises(ConfigError, match="base_topic"):
        check_base(base)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64)
LABELS = st.sampled_from(get_args(Label))
NUMBERS = st.integers(0, 10**9)
THOUSANDTHS = st.integers(0, 10**9).map(lambda n: n / 1000)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(get_args(EventType)))
    label = draw(LABELS)
    device, seq = draw(NAMES), draw(st.integers(1, 10**9))
    return Event(
        id=f"{device}:{draw(st.text('abc019', min_size=6, max_size=6))}:{seq}",
        seq=seq,
        type=kind,
        time="2026-11-23T08:15:02.123Z",
        clock=draw(st.sampled_from(["synced", "unsynced"])),
        device=device,
        camera=draw(NAMES),
        person=draw(st.integers(1, 10**6)),
        label=label,
        p_mask=draw(st.integers(0, 1000)) / 1000,
        looks=draw(NUMBERS),
        box=cast(tuple[int, int, int, int], tuple(draw(st.integers(-5000, 5000)) for _ in range(4))),
        frame=draw(NUMBERS),
        t=draw(THOUSANDTHS),
        model="mask-mnv2@3f9ac2d1e0b7",
        worn=draw(st.sampled_from([None, "incorrect"])) if label == "no_mask" else None,
        was=draw(LABELS) if kind == "changed" else None,
        stayed_s=draw(THOUSANDTHS) if kind == "left" else None,
    )


@given(events())
def test_what_is_written_is_read_back(event: Event) -> None:
    assert decode(encode(event)) == event


@given(events())
def test_every_event_fits_the_published_schema_and_is_one_line(event: Event) -> None:
    payload = encode(event)
    VALIDATOR.validate(json.loads(payload))
    assert b"\n" not in payload
    assert b" " not in payload


@given(st.floats(0, 1), st.floats(0, 1e9), st.floats(0, 1e6), st.tuples(*[st.floats(-1e5, 1e5)] * 4), st.floats(0, 4e9))
def test_any_verdict_in_range_gives_an_event_that_fits_the_schema(
    p_mask: float, t_s: float, stayed_s: float, box: tuple[float, float, float, float], utc_s: float
) -> None:
    verdict = Verdict("left", 1, "mask", p_mask, 3, stayed_s=stayed_s)
    event = writer().write(verdict, box=Box(*box), frame=0, t_s=t_s, utc_s=utc_s)
    VALIDATOR.validate(json.loads(encode(event)))
    assert decode(encode(event)) == event


@given(events(), st.dictionaries(st.text(max_size=9).map("x_".__add__), st.integers() | st.text(), max_size=3))
def test_fields_of_a_later_version_are_passed_over(event: Event, later: dict[str, object]) -> None:
    assert decode(json.dumps(json.loads(encode(event)) | later).encode()) == event


@given(events(), st.data())
def test_missing_field_is_named(event: Event, data: st.DataObject) -> None:
    given_fields = fields(event)
    name = data.draw(st.sampled_from([name for name in given_fields if name != "worn"]))
    del given_fields[name]
    with pytest.raises(DataError, match=name):
        decode(json.dumps(given_fields).encode())


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_what_is_no_event_is_a_clear_error_and_nothing_else(garbage: bytes | str) -> None:
    with pytest.raises(DataError):
        decode(garbage if isinstance(garbage, bytes) else garbage.encode())


@given(events(), st.data(), st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.floats()) | st.integers())
def test_field_of_another_kind_never_gets_through_unnoticed(event: Event, data: st.DataObject, value: object) -> None:
    mutated = fields(event) | {data.draw(st.sampled_from(list(fields(event)))): value}
    try:
        read = decode(json.dumps(mutated).encode())
    except DataError:
        return
    assert encode(read)


@pytest.mark.parametrize(
    "payload",
    [b"[" * 100_000, b'{"v":' + b"9" * 10_000 + b"}", CONTRACT_LINE.replace(b"0.012", b"NaN"), b"\xff", b"", b"[]"],
    ids=["deep", "long number", "NaN", "not UTF-8", "empty", "a list"],
)
def test_hostile_payload_is_refused_as_no_event(payload: bytes) -> None:
    with pytest.raises(DataError):
        decode(payload)


def test_version_with_another_meaning_is_refused() -> None:
    with pytest.raises(DataError, match=f"version 2, this program reads {SCHEMA_VERSION}"):
        decode(CONTRACT_LINE.replace(b'"v":1', b'"v":2'))
