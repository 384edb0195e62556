"""What is kept of a door's days: over restarts, clocks that jump, and disks that take nothing."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.__main__ import main
from edge.clock import FakeClock
from edge.drift import DAY_S, PEOPLE, Day
from edge.drift_watch import FILE, SAVE_S, DriftWatch, encode, read_kept
from edge.durable import replace_file
from edge.events import Event, EventWriter
from edge.places import PACKAGE
from edge.records import Box, Frame, Label, Verdict

WRITER = EventWriter("door", "main", "m@0123456789ab")


def told(label: Label = "mask", p_mask: float = 0.99, *, kind: Any = "decided", writer: EventWriter = WRITER) -> Event:
    verdict = Verdict(kind, 1, label, p_mask, 7, stayed_s=1.0 if kind == "left" else None)
    return writer.write(verdict, box=Box(1, 2, 30, 40), frame=1, t_s=1.0, utc_s=1_795_594_502.0)


def frame(grey: int = 100) -> Frame:
    return Frame(np.full((48, 64, 3), grey, np.uint8), 1, 1.0, 1_795_594_502.0)


class Door:
    """A watch on the test's own time, over a restart or two."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / FILE
        self.clock = FakeClock()
        self.start()

    def start(self) -> None:
        self.watch = DriftWatch(self.file, self.clock.monotonic_s)

    def pass_by(self, people: int = 1, grey: int = 100, **about: Any) -> None:
        for _ in range(people):
            self.watch.count(told(**about))
            self.watch.look(frame(grey))

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.watch.tick()

    def today(self) -> Day:
        self.watch.close()
        return read_kept(self.file).today


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_people_count_once_when_they_are_decided_with_the_light_they_came_in(door: Door) -> None:
    door.pass_by(2, grey=80)
    door.pass_by(1, grey=110, label="uncertain", p_mask=0.5)
    door.watch.count(told(kind="left"))
    today = door.today()
    assert (today.decided, today.uncertain, today.lit) == (3, 1, 3)
    assert today.sureness == pytest.approx(2 * 0.666, abs=0.01)
    assert today.brightness == 270.0


def test_a_restart_goes_on_counting_people_and_hours(door: Door) -> None:
    door.pass_by(30)
    door.wait(DAY_S * 0.6)
    door.watch.close()
    door.clock.mono_s = 5.0  # the machine was started anew: its monotonic clock, too
    door.start()
    door.pass_by(20)
    door.wait(DAY_S * 0.3)
    assert not door.watch.past.usual
    door.wait(DAY_S * 0.2)
    assert door.watch.past.usual[-1].decided == 50
    assert door.today() == Day()


def test_after_kill_9_at_most_the_last_ten_minutes_are_missing(door: Door) -> None:
    for _ in range(10):
        door.pass_by()
        door.wait(SAVE_S / 2)
    door.start()
    assert read_kept(door.file).today.decided >= 8


@pytest.mark.parametrize("jump_s", [-20 * 365 * DAY_S, -3600.0, 3600.0, 20 * 365 * DAY_S])
def test_a_clock_that_is_set_makes_no_day_longer_or_shorter(door: Door, jump_s: float) -> None:
    door.pass_by(PEOPLE)
    door.wait(DAY_S / 2)
    door.clock.jump(jump_s)
    door.wait(DAY_S / 2 - 1)
    assert not door.watch.past.usual
    door.wait(1)
    assert len(door.watch.past.usual) == 1


def test_the_card_is_written_to_at_most_every_ten_minutes_and_not_while_nobody_comes(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []

    def counted(path: Path, content: bytes) -> None:
        writes.append(len(content))
        replace_file(path, content)

    monkeypatch.setattr("edge.drift_watch.replace_file", counted)
    for _ in range(3600):  # an hour of somebody every second
        door.pass_by()
        door.wait(1)
    assert len(writes) == 6
    for _ in range(3600):
        door.wait(10)
    assert len(writes) == 6
    assert max(writes) < 4096


def test_what_is_kept_has_no_date_no_person_and_no_picture(door: Door) -> None:
    for _ in range(3):
        door.pass_by(PEOPLE)
        door.wait(DAY_S)
    door.watch.close()
    kept = json.loads(door.file.read_text())
    assert kept.keys() == {"v", "model", "today", "usual", "out"}
    sums = {"running_s", "decided", "uncertain", "sureness", "lit", "brightness", "out"}
    assert all(day.keys() == sums for day in [kept["today"], *kept["usual"]])


def test_another_model_begins_anew(door: Door) -> None:
    door.pass_by(PEOPLE)
    door.wait(DAY_S)
    door.watch.count(told(writer=EventWriter("door", "main", "m@ffffffffffff")))
    assert (door.watch.past.usual, door.today().decided) == ((), 1)


def test_a_model_that_comes_back_goes_on_from_what_it_had_learned(door: Door) -> None:
    """A trial that fails, over a restart: the site's weeks are not its price."""
    door.pass_by(PEOPLE)
    door.wait(DAY_S)
    trial = EventWriter("door", "main", "m@ffffffffffff")
    door.pass_by(2, writer=trial)
    door.watch.close()
    door.start()
    assert door.watch.past.usual == ()
    door.pass_by(3)
    assert (len(door.watch.past.usual), door.today().decided) == (1, 3)
    door.pass_by(1, writer=EventWriter("door", "main", "m@eeeeeeeeeeee"))
    assert door.watch.past.usual == ()  # a third one has nobody's
    door.pass_by(1, writer=trial)
    assert door.today().decided == 1  # only the last two are kept


def test_a_folder_that_takes_no_file_is_said_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("no folder can be made here")
    door = Door(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            door.pass_by(PEOPLE)
            door.wait(DAY_S)
        door.watch.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"drift: {door.file}: {os.strerror(17)}: a restart would forget these days"
    ]
    assert len(door.watch.past.usual) == 5


def test_every_sum_comes_back_as_it_was_kept(door: Door) -> None:
    door.pass_by(PEOPLE)
    door.wait(DAY_S)
    door.pass_by(7, label="uncertain", p_mask=0.4)
    door.watch.close()
    kept = read_kept(door.file)
    assert encode(kept) == door.file.read_bytes()
    assert kept.today.uncertain == 7
    assert kept.past.usual[0].value("sureness") == pytest.approx(door.watch.past.usual[0].value("sureness"), abs=1e-4)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["model", "today", "usual", "out", "before", "decided", "uncertain"]), inner, max_size=6
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_damaged_file_is_no_file(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(content)
        assert read_kept(Path(folder) / FILE).today == Day()


def test_a_number_beyond_all_numbers_keeps_no_daemon_from_starting(tmp_path: Path) -> None:
    day = {"decided": 1, "uncertain": 0, "lit": 1, "sureness": 10**400, "brightness": 0, "running_s": 0, "out": []}
    (tmp_path / FILE).write_text(json.dumps({"v": 1, "model": "m", "today": day, "usual": [], "out": []}))
    assert read_kept(tmp_path / FILE).today == Day()


@pytest.mark.parametrize(
    "change",
    [{"decided": -1}, {"uncertain": 99}, {"decided": 1.5}, {"sureness": "1"}, {"lit": True}, {"brightness": 1e300}],
)
def test_a_day_that_cannot_have_been_is_not_believed(door: Door, change: dict[str, Any]) -> None:
    door.pass_by(3)
    door.watch.close()
    fields = json.loads(door.file.read_text())
    door.file.write_text(json.dumps({**fields, "today": {**fields["today"], **change}}))
    assert read_kept(door.file).today == Day()


def test_a_run_with_a_camera_counts_who_was_decided_and_a_file_is_none_of_the_door_s_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    clip, events = PACKAGE.parent / "demo" / "door.mp4", tmp_path / "events"
    argv = ["run", "--sink", f"jsonl:{events}", "--pace", "max", "--source"]
    assert main([*argv, str(clip)]) == 0
    assert not (tmp_path / "state" / FILE).exists()
    decided = events.read_text().count('"type":"decided"')
    (tmp_path / "door.toml").write_text(f"fps = 15\nframes = '{clip}'\n[[step]]\ndo = 'frames'\ncount = 290\n")
    assert main([*argv, f"scripted:{tmp_path / 'door.toml'}"]) == 0
    today = read_kept(tmp_path / "state" / FILE).today
    assert 0 < today.decided == events.read_text().count('"type":"decided"') - decided
    assert 0 < today.lit <= today.decided
