"""The door in three words: who is there, the last label, today's counts; over midnights, set clocks and restarts."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import FakeClock
from edge.events import Event, EventType
from edge.records import Label
from edge.sinks.state import StateSink
from edge.sinks.tally_file import read_tally, write_tally
from edge.state import (
    Counts,
    DoorState,
    Last,
    Tally,
    after,
    begin,
    encode_state,
    local_day,
    midnight,
    on_day,
    seconds_to_midnight,
)
from tests.edge.sinks.test_jsonl import some_events

TODAY = date(2026, 11, 25)
TOMORROW = TODAY + timedelta(days=1)
LONG_AGO = date(2024, 3, 1)
LABELS: tuple[Label, ...] = ("mask", "no_mask", "uncertain")


def event(
    kind: EventType, person: int = 1, label: Label = "mask", was: Label | None = None, clock: str = "synced"
) -> Event:
    stayed_s = 4.0 if kind == "left" else None
    return Event(
        f"door:k3f9a2:{person}",
        person,
        kind,
        "2026-11-25T08:15:02.123Z",
        "synced" if clock == "synced" else "unsynced",
        "door",
        "main",
        person,
        label,
        0.9,
        7,
        (1, 2, 40, 40),
        17,
        1.7,
        "m@0123456789ab",
        was=was,
        stayed_s=stayed_s,
    )


def played(*events: Event, state: DoorState | None = None) -> DoorState:
    state = state or begin(TODAY, True, None)
    for one in events:
        state = after(state, one)
    return state


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# Who is there, and how they count


def test_whoever_is_decided_and_has_not_left_is_present() -> None:
    state = played(event("decided", 1), event("decided", 2), event("left", 1))
    assert state.present == {2}


def test_people_count_by_the_label_of_their_decision() -> None:
    state = played(event("decided", 1), event("decided", 2, "no_mask"), event("decided", 3, "uncertain"))
    assert state.today == Counts(1, 1, 1)


def test_a_mask_taken_off_moves_its_person_to_the_other_count() -> None:
    state = played(event("decided", 1), event("changed", 1, "no_mask", was="mask"))
    assert state.today == Counts(0, 1, 0)
    assert state.last == Last("no_mask", "2026-11-25T08:15:02.123Z", "synced")


def test_leaving_changes_neither_the_counts_nor_the_last_label() -> None:
    state = played(event("decided", 1, "no_mask"), event("left", 1, "no_mask"))
    assert (state.today, state.last and state.last.label) == (Counts(0, 1, 0), "no_mask")


def test_the_payload_is_the_contracts(berlin: None) -> None:
    state = played(event("decided", 1), event("decided", 2, "no_mask"))
    assert json.loads(encode_state(state)) == {
        "present": 2,
        "last": {"label": "no_mask", "time": "2026-11-25T08:15:02.123Z", "clock": "synced"},
        "today": {"mask": 1, "no_mask": 1, "uncertain": 0},
        "since": "2026-11-25T00:00:00+01:00",
    }
    assert json.loads(encode_state(begin(TODAY, True, None)))["last"] is None


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(LABELS), st.booleans()), max_size=40))
def test_counts_never_fall_below_zero_and_sum_up_to_the_people_decided(steps: list[tuple[int, Label, bool]]) -> None:
    state, labels, decided = begin(TODAY, True, None), dict[int, Label](), 0
    for person, label, leaves in steps:
        if person not in labels:
            state, decided = after(state, event("decided", person, label)), decided + 1
        elif labels[person] != label:
            state = after(state, event("changed", person, label, was=labels[person]))
        labels[person] = label
        if leaves:
            state = after(state, event("left", person, labels.pop(person)))
    counts = (state.today.mask, state.today.no_mask, state.today.uncertain)
    assert min(counts) >= 0
    assert sum(counts) == decided
    assert state.present == set(labels)


# Midnights


def test_at_midnight_the_counts_begin_anew_and_whoever_is_there_stays() -> None:
    state = on_day(played(event("decided", 1)), TOMORROW, True)
    assert (state.today, state.present) == (Counts(), frozenset({1}))
    assert state.last == Last("mask", "2026-11-25T08:15:02.123Z", "synced")


def test_who_was_counted_yesterday_and_changes_today_is_not_counted_today() -> None:
    state = on_day(played(event("decided", 1)), TOMORROW, True)
    assert played(event("changed", 1, "no_mask", was="mask"), state=state).today == Counts()


def test_a_clock_corrected_back_over_midnight_keeps_the_counts() -> None:
    state = on_day(played(event("decided", 1)), TODAY - timedelta(days=1), True)
    assert state.today == Counts(1)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_a_day_ends_at_the_local_midnight_also_when_clocks_are_changed(berlin: None, day: date, hours: int) -> None:
    start_s = midnight(day).timestamp()
    assert seconds_to_midnight(start_s) == hours * 3600
    assert local_day(start_s + hours * 3600 - 1) == day
    assert local_day(start_s + hours * 3600) == day + timedelta(days=1)


# Clocks that nobody has set


def test_a_door_whose_clock_is_never_set_has_midnights_by_its_own_clock() -> None:
    state = played(event("decided", 1), state=begin(LONG_AGO, False, None))
    assert on_day(state, LONG_AGO + timedelta(days=1), False).today == Counts()


def test_once_the_clock_is_set_those_of_before_are_todays() -> None:
    state = played(event("decided", 1), state=begin(LONG_AGO, False, None))
    state = on_day(state, TODAY, True)
    assert state.today == Counts(1)
    assert on_day(state, TOMORROW, True).today == Counts()


def test_counts_of_the_run_before_come_back_when_the_clock_turns_out_to_be_of_their_day() -> None:
    state = played(event("decided", 1), state=begin(LONG_AGO, False, Tally(TODAY, Counts(5, 2, 1), None)))
    assert state.today == Counts(1)
    assert on_day(state, TODAY, True).today == Counts(6, 2, 1)


def test_counts_of_the_run_before_go_when_the_clock_turns_out_to_be_of_another_day() -> None:
    state = played(event("decided", 1), state=begin(LONG_AGO, False, Tally(LONG_AGO, Counts(5, 2, 1), None)))
    assert state.today == Counts(6, 2, 1)
    assert on_day(state, TODAY, True).today == Counts(1)


# The sink: over a restart, at midnight, on a disk that refuses


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def sink_at(folder: Path, clock: FakeClock) -> tuple[StateSink, list[dict[str, object]]]:
    said: list[dict[str, object]] = []
    return StateSink(lambda payload: said.append(json.loads(payload)), folder / "today.json", clock), said


def test_todays_counts_and_the_last_label_outlive_a_restart_and_nobody_is_present(tmp_path: Path) -> None:
    clock = FakeClock()
    sink, _ = sink_at(tmp_path, clock)
    sink.publish(event("decided", 1, "no_mask"), b"")
    sink.close(0)
    again, said = sink_at(tmp_path, clock)
    again.close(0)
    assert said[0]["today"] == {"mask": 0, "no_mask": 1, "uncertain": 0}
    assert said[0]["present"] == 0
    assert said[0]["last"] == {"label": "no_mask", "time": "2026-11-25T08:15:02.123Z", "clock": "synced"}


def test_yesterdays_counts_are_not_todays_after_a_night_without_power(tmp_path: Path) -> None:
    clock = FakeClock()
    sink, _ = sink_at(tmp_path, clock)
    sink.publish(event("decided"), b"")
    sink.close(0)
    clock.advance(86_400)
    again, said = sink_at(tmp_path, clock)
    again.close(0)
    assert said[0]["today"] == {"mask": 0, "no_mask": 0, "uncertain": 0}


def test_the_state_is_said_at_once_after_each_event_and_at_midnight(tmp_path: Path) -> None:
    clock = FakeClock()
    sink, said = sink_at(tmp_path, clock)
    sink.publish(event("decided"), b"")
    sink.look()
    clock.advance(seconds_to_midnight(clock.utc_s()))
    sink.look()
    sink.close(0)
    assert [(one["present"], one["today"]["mask"]) for one in said] == [(0, 0), (1, 1), (1, 0)]  # type: ignore[index]


def test_midnight_comes_by_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.wall_s = midnight(TOMORROW).timestamp() - 0.5
    sink, said = sink_at(tmp_path, clock)
    sink.publish(event("decided"), b"")
    clock.advance(1)
    deadline = time.monotonic() + 5
    while len(said) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sink.close(0)
    assert said[2]["today"] == {"mask": 0, "no_mask": 0, "uncertain": 0}


def test_a_disk_that_refuses_is_told_once_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    said: list[bytes] = []
    sink = StateSink(said.append, tmp_path / "file" / "today.json", FakeClock())
    for person in (1, 2):
        sink.publish(event("decided", person), b"")
        sink.look()
    sink.close(0)
    assert len(said) == 3
    assert sum("anew" in record.getMessage() for record in caplog.records if record.levelname == "WARNING") == 1


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(
        lambda value: json.dumps({"day": value, "today": value, "last": value}).encode()
    )
)
def test_whatever_stands_in_the_file_is_a_tally_or_nothing(content: bytes) -> None:
    path = Path(os.environ["XDG_STATE_HOME"]) / "today.json"
    path.write_bytes(content)
    assert read_tally(path) is None


def test_a_tally_is_read_as_it_was_written(tmp_path: Path) -> None:
    tally = Tally(TODAY, Counts(3, 2, 1), Last("mask", "2026-11-25T08:15:02.123Z", "unsynced"))
    write_tally(tmp_path / "today.json", tally)
    assert read_tally(tmp_path / "today.json") == tally
    assert [path.name for path in tmp_path.iterdir()] == ["today.json"]


def test_a_disk_that_hangs_holds_up_neither_the_pipeline_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, frees = threading.Event(), threading.Event()

    def hang(_path: Path, _tally: Tally) -> None:
        hangs.set()
        frees.wait(30)

    monkeypatch.setattr("edge.sinks.state.write_tally", hang)
    monkeypatch.setattr("edge.sinks.state.LOOK_S", 0.01)
    monkeypatch.setattr("edge.sinks.state.CLOSE_S", 0.1)
    monkeypatch.setattr("edge.sinks.state.seconds_to_midnight", lambda _utc_s: 0.01)
    said: list[bytes] = []
    sink = StateSink(said.append, tmp_path / "today.json", FakeClock())
    [(event, payload)] = some_events(1)
    sink.publish(event, payload)
    assert hangs.wait(10)
    sink.publish(event, payload)  # returns
    sink.close(1)  # returns, too
    assert len(said) >= 3
    frees.set()
