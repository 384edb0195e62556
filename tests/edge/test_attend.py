"""Who looks after a run: what systemd, the broker and the status file are told, and when. Time is the test's own."""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edge.attend import Attendant, PictureFrozen
from edge.board import Throttled
from edge.camera import keep_open
from edge.clock import FakeClock
from edge.drift import DAY_S, PEOPLE
from edge.drift_watch import FILE, DriftWatch, read_kept
from edge.errors import EdgeError, InputMissing
from edge.events import Event, EventWriter
from edge.heat import Heat
from edge.models.trial import Trial
from edge.models.watch import TrialWatch
from edge.outbox import Limits, Outbox, open_outbox
from edge.picture import PictureWatch
from edge.pipeline import Pipeline, Told
from edge.records import AcceleratorTrouble, Frame, ImageU8
from edge.reload import Hangup, Reloader
from edge.run import Outlet, Patience, Stop, run
from edge.sinks.notices import Notice
from edge.sources import SourceLost, SourceStalled
from edge.sources.paced import Timer
from edge.sources.scripted import Script, ScriptedSource, Step
from edge.status import WRITER, StatusFile
from tests.edge.models.test_watch import Daemon
from tests.edge.notified import Listening, listening
from tests.edge.test_drift_watch import told


class Looks:
    """A pipeline that finds nobody, and takes ``busy_s`` of the test's time for it."""

    def __init__(self, clock: FakeClock, busy_s: float = 0.02) -> None:
        self.processed = self.rehearsed = self.finished = 0
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self.busy_s = busy_s
        self.really_s = 0.0
        self.ages_s: list[float] = []

    def process(self, frame: Frame) -> list[Told]:
        self.processed += 1
        self.ages_s.append(self._clock.monotonic_s() - self._began_s - frame.t_s)
        self._clock.advance(self.busy_s)
        time.sleep(self.really_s)
        return []

    def rehearse(self, frame: Frame) -> None:
        self.rehearsed += 1

    def finish(self) -> list[Told]:
        self.finished += 1
        return []


@dataclass
class FakeBoard:
    celsius: float | None = 50.0
    bits: Throttled | None = None

    def temperature_c(self) -> float | None:
        return self.celsius

    def throttled(self) -> Throttled | None:
        return self.bits

    def rss_mb(self) -> float:
        return 100.0


@dataclass
class FakeBroker:
    """Keeps what it is to retain, with the time."""

    clock: FakeClock
    name: str = "broker"
    wants_more: bool = True
    base_topic: str = "mask-edge/door"
    last_ack_s: float | None = 1.0
    reasons: tuple[str, ...] = ()
    retained: list[tuple[float, Notice]] = field(default_factory=list)

    def retain(self, notice: Notice) -> None:
        self.retained.append((self.clock.monotonic_s(), notice))

    def publish(self, event: Event, payload: bytes) -> None: ...

    def close(self, drain_s: float) -> None: ...

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(notice.payload) for _, notice in self.retained]


class Door:
    """A run of scripts with everybody who looks after it, on one clock."""

    def __init__(
        self,
        folder: Path,
        *,
        busy_s: float = 0.02,
        reopens: bool = False,
        outbox: Outbox | None = None,
        deadline_s: float | None = None,
        trial: TrialWatch | None = None,
    ) -> None:
        self.accelerator: AcceleratorTrouble | None = None
        self.clock = FakeClock()
        self.stop = Stop()
        self.board = FakeBoard()
        self.broker = FakeBroker(self.clock)
        self.looks = Looks(self.clock, busy_s)
        self.status = folder / "run" / "status.json"
        self.hangup = Hangup()
        self.reloads: list[str] = []
        self.outlet = Outlet(EventWriter("door", "main", "m@0123456789ab"))
        self.outbox = outbox if outbox is not None else open_outbox(folder / "state")
        self.attendant = Attendant(
            cast(Pipeline, self.looks),
            self.outlet,
            self.board,
            outbox=self.outbox,
            broker=self.broker,
            picture=PictureWatch(),
            heat=Heat(fps=10),
            drift=DriftWatch(folder / "state" / FILE, self.clock.monotonic_s),
            deadline_s=deadline_s,
            tend=lambda: self.accelerator,
            reopens=reopens,
            status_file=StatusFile(self.status.parent),
            hangup=self.hangup,
            reloader=cast(Reloader, self),
            trial=trial,
            clock=self.clock,
            sleep=self.clock.advance,
        )

    is_refused = False
    refusal = None

    def reload(self, *, rereads: bool = True) -> None:
        self.reloads.append("configuration and model" if rereads else "model")

    def source(self, *steps: Step) -> ScriptedSource:
        timer = Timer(self.clock.monotonic_s, self.clock.advance)
        return ScriptedSource(Script(steps, size=(320, 240)), "door", live=True, timer=timer)

    def watch(self, source: Any) -> None:
        run(source, cast(Pipeline, self.looks), self.outlet, Patience(10.0, 1.0), self.stop, watcher=self.attendant)

    def play(self, *steps: Step) -> None:
        self.watch(self.source(*steps))

    def keep(self, *lives: list[Step] | EdgeError, away_at_most: int) -> None:
        """Open one life after the other, and the last again and again, until it was away so often."""
        left = list(lives)
        attendant, door = self.attendant, self

        def opened() -> ScriptedSource:
            life = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(life, EdgeError):
                raise life
            return self.source(*life)

        class Counting:
            count = 0

            def away(self, error: EdgeError, pause_s: float) -> None:
                self.count += 1
                attendant.away(error, pause_s)
                if self.count == away_at_most:
                    door.stop.ask(15)

            def retrying(self) -> None:
                attendant.retrying()

        keep_open(opened, self.watch, Counting(), self.stop, clock=self.clock.monotonic_s, sleep=self.clock.advance)

    def status_now(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.status.read_text()))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    with listening(tmp_path, monkeypatch, watchdog_s=3) as one:
        yield one


@pytest.fixture
def door(tmp_path: Path, systemd: Listening) -> Door:
    return Door(tmp_path)


def frames(count: int) -> Step:
    return Step("frames", count)


# READY


def test_ready_comes_after_the_first_frame_went_through_both_models_and_not_before(
    door: Door, systemd: Listening
) -> None:
    for _ in range(8):  # it is open, and slow to start
        door.clock.advance(1)
        door.attendant.waited()
    assert systemd.heard() == []
    door.play(frames(1))
    assert (door.looks.processed, door.looks.rehearsed) == (1, 1)
    assert systemd.count("READY=1") == 1


def test_a_reload_before_the_first_frame_does_not_make_it_ready(door: Door, systemd: Listening) -> None:
    door.hangup.asked = True
    door.attendant.waited()
    assert door.reloads == ["configuration and model"]
    assert systemd.heard() == []


def test_a_model_that_a_command_made_active_is_loaded_and_the_configuration_is_not_read_again(
    tmp_path: Path, systemd: Listening
) -> None:
    """A file that somebody edits just now must not keep the door from a model, nor from the one before."""
    models = Daemon(tmp_path)
    door = Door(tmp_path, trial=models.watch)
    models.store.begin(Trial(models.new, models.old, None))
    door.clock.advance(1)
    door.attendant.waited()
    assert door.reloads == ["model"]
    assert models.trial.state == "rolled_back"  # the door of this test loads none
    door.clock.advance(1)
    door.attendant.waited()
    assert door.reloads == ["model"]


def test_without_a_camera_it_is_ready_degraded_and_says_why(door: Door, systemd: Listening) -> None:
    door.keep(InputMissing("v4l2:/dev/video0 is not there"), away_at_most=1)
    assert door.broker.said()[0]["reasons"] == ["camera_absent"]
    assert door.status_now()["camera"] == "absent"
    assert systemd.count("READY=1") == 1
    assert systemd.heard().index("READY=1") > systemd.heard().index(systemd.begins("STATUS=")[0])
    assert systemd.begins("STATUS=")[0].startswith("STATUS=degraded: camera_absent; 0.0 frames/s")


# WATCHDOG


def test_a_source_that_stalls_stops_the_signs_of_life_within_one_interval(door: Door, systemd: Listening) -> None:
    with pytest.raises(SourceStalled):
        door.play(frames(100), Step("stall", seconds=600))
    fed = systemd.count("WATCHDOG=1")
    assert 8 <= fed <= 11  # ten seconds of frames, a sign every second, and none in the ten of the stall
    door.attendant.waited()
    assert systemd.count("WATCHDOG=1") == fed


def test_a_camera_that_is_tried_again_and_again_is_a_sign_of_life(door: Door, systemd: Listening) -> None:
    before_s = door.clock.monotonic_s()
    door.keep(InputMissing("no camera"), away_at_most=20)
    away_s = door.clock.monotonic_s() - before_s
    assert systemd.count("WATCHDOG=1") >= 0.9 * away_s


def test_a_frame_that_takes_for_ever_gives_no_sign_of_life(tmp_path: Path, systemd: Listening) -> None:
    door = Door(tmp_path, busy_s=600)
    door.play(frames(3))
    assert systemd.count("WATCHDOG=1") <= 3  # one for each frame that came through, none in between


# A camera that comes and goes


def test_a_lost_camera_is_told_at_once_and_that_it_is_back_too(door: Door) -> None:
    breaks = [frames(50), Step("exception", message="cable pulled")]
    door.keep(breaks, InputMissing("gone"), InputMissing("gone"), [frames(50)], away_at_most=9)
    told = [(health["camera"], health["status"]) for health in door.broker.said()]
    changes = [one for index, one in enumerate(told) if index == 0 or told[index - 1] != one]
    assert changes == [("ok", "ok"), ("lost", "degraded"), ("ok", "ok")]
    assert door.looks.finished == 2  # whoever was open was decided, each time


def test_a_loss_is_told_before_the_first_pause(door: Door) -> None:
    door.play(frames(3))
    door.attendant.away(SourceLost("cable pulled"), 1.5)
    at_s, notice = door.broker.retained[-1]
    assert (at_s, json.loads(notice.payload)["reasons"]) == (door.clock.monotonic_s(), ["camera_lost"])


def test_a_camera_that_is_away_fills_no_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        door.keep(InputMissing("v4l2:/dev/video0 is not there: plug the camera in"), away_at_most=100)
    assert [record.message.split(":")[0] for record in caplog.records].count("camera") == 1
    assert len([record for record in caplog.records if "camera_absent" in record.message]) == 1
    assert len(caplog.records) <= 3  # and that the broker falls silent or the clock is not set


def test_a_frozen_picture_is_told_and_the_camera_opened_again(tmp_path: Path, systemd: Listening) -> None:
    door = Door(tmp_path, reopens=True)
    frozen = [frames(20), Step("repeats", 5000)]
    door.keep(frozen, [frames(100)], away_at_most=9)
    assert "frozen" in [health["camera"] for health in door.broker.said()]
    assert door.looks.processed < 20 + 750 + 100  # a minute and a bit of them, at ten a second
    assert door.broker.said()[-1]["camera"] == "ok"


def test_at_a_terminal_a_frozen_picture_ends_nothing(door: Door) -> None:
    door.play(frames(20), Step("repeats", 1000))
    assert door.broker.said()[-1]["camera"] == "frozen"


def test_frozen_is_a_kind_of_lost() -> None:
    assert issubclass(PictureFrozen, SourceLost)


# What is told, and how often


def test_health_is_retained_every_half_minute_and_expires_after_three_of_them(door: Door) -> None:
    door.play(frames(1200))
    times = [at_s for at_s, _ in door.broker.retained]
    assert len(times) == 5  # at once, after ten seconds when the figures have settled, then every thirty
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([10, 30, 30, 30], abs=1.2)
    notice = door.broker.retained[0][1]
    assert (notice.topic, notice.expiry_s) == ("mask-edge/door/health", 90)


def test_what_is_new_is_told_at_once_and_not_repeated(door: Door) -> None:
    door.play(frames(200))
    before = len(door.broker.retained)
    door.broker.last_ack_s = 100.0
    door.play(frames(20))
    assert door.broker.said()[before]["reasons"] == ["broker_silent"]
    assert len(door.broker.retained) == before + 1


def test_fps_and_the_frame_s_age_are_those_of_frames_that_came_through(door: Door) -> None:
    door.play(frames(300))
    assert door.broker.said()[-1]["fps"] == pytest.approx(10, abs=0.3)
    with pytest.raises(SourceStalled):
        door.play(frames(1), Step("stall", seconds=600))
    assert door.status_now()["frame_age_s"] >= 5


def test_the_status_file_is_the_health_object_plus_seq_and_goes_with_the_daemon(door: Door) -> None:
    with door.attendant:
        door.play(frames(100))
        status = door.status_now()
        assert (status.pop("seq"), status.pop("models")) == (0, None)
        assert status.pop(WRITER)["pid"] == os.getpid()
        assert status.keys() == door.broker.said()[-1].keys()
        assert door.status.stat().st_mode & 0o777 == 0o640
    assert not door.status.exists()


def test_the_end_is_told_to_systemd(door: Door, systemd: Listening) -> None:
    with door.attendant:
        door.play(frames(3))
    assert systemd.heard()[-1] == "STOPPING=1"


def test_a_status_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    door.play(frames(300))
    said = [record.message for record in caplog.records if record.message.startswith("status:")]
    assert len(said) == 1
    assert "'edge status' will say nothing" in said[0]


def test_events_dropped_are_told_for_a_day(tmp_path: Path, systemd: Listening) -> None:
    door = Door(tmp_path, outbox=open_outbox(tmp_path / "small", Limits(events=1)))
    door.play(frames(20))
    for seq in (1, 2, 3):
        door.outbox.put(seq, b"{}")
    door.play(frames(20))
    said = door.broker.said()[-1]
    assert (said["reasons"], said["outbox"]["dropped"], said["outbox"]["depth"]) == (["events_dropped"], 2, 1)
    door.clock.advance(86_400)
    door.play(frames(20))
    assert "events_dropped" not in door.broker.said()[-1]["reasons"]


def test_a_damaged_outbox_is_told(tmp_path: Path, systemd: Listening) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.sqlite").write_bytes(b"not a database" * 1000)
    door = Door(tmp_path)
    door.play(frames(3))
    assert door.broker.said()[-1]["reasons"] == ["events_lost"]
    assert door.broker.said()[-1]["outbox"]["lost"] is None


# Heat


def test_a_hot_board_looks_at_half_the_frames_and_says_so(door: Door) -> None:
    door.board.celsius = 76
    door.play(frames(600))
    assert 290 <= door.looks.processed <= 320
    assert door.broker.said()[-1]["reasons"] == ["hot"]
    assert door.broker.said()[-1]["temperature_c"] == 76


def test_a_board_that_cooled_down_looks_at_every_frame_again(door: Door) -> None:
    door.board.celsius = 82
    door.play(frames(100))
    door.board.celsius = 60
    before = door.looks.processed
    door.play(frames(300))
    assert door.looks.processed - before >= 290
    assert door.broker.said()[-1]["status"] == "ok"


# Reload


def test_a_hangup_is_met_between_two_frames_and_told_to_systemd(door: Door, systemd: Listening) -> None:
    door.play(frames(3))
    door.hangup.asked = True
    door.play(frames(3))
    assert door.reloads == ["configuration and model"]
    words = [said.splitlines()[0] for said in systemd.heard()]
    assert [word for word in words if word in ("READY=1", "RELOADING=1")] == ["READY=1", "RELOADING=1", "READY=1"]


# Drift


def test_days_go_by_while_the_daemon_runs_and_are_kept_at_its_end(door: Door) -> None:
    watch = door.attendant._drift
    assert watch is not None
    with door.attendant:
        for _ in range(PEOPLE):
            watch.count(told())
        door.play(frames(20))
        door.clock.advance(DAY_S)
        door.play(frames(20))
        drift = door.status_now()["drift"]
        assert (drift["days"], drift["uncertain"]) == (1, {"usual": None, "last": 0.0})
        assert drift["brightness"]["last"] > 0
        assert door.broker.said()[-1]["drift"] == drift
    assert len(read_kept(door.status.parent.parent / "state" / FILE).past.usual) == 1


# Frames that take too long, and an accelerator


def test_a_frame_over_its_deadline_is_counted_told_and_forgotten_after_a_minute(
    tmp_path: Path, systemd: Listening
) -> None:
    door = Door(tmp_path, deadline_s=0.5)
    door.play(frames(100))
    assert (door.broker.said()[-1]["late_frames"], door.broker.said()[-1]["status"]) == (0, "ok")
    for _ in range(3):
        door.attendant.saw(Frame(Showing(door, 1).picture(), 0, door.clock.monotonic_s(), 0.0), 0.6)
    door.play(frames(100))
    said = door.broker.said()
    assert ["frames_late"] in [health["reasons"] for health in said]
    assert said[-1]["late_frames"] == 3
    door.play(frames(700))
    assert (door.broker.said()[-1]["status"], door.broker.said()[-1]["late_frames"]) == ("ok", 3)


def test_a_frame_that_takes_long_costs_those_that_came_meanwhile_and_not_the_newest(
    tmp_path: Path, systemd: Listening
) -> None:
    """Nobody is decided on what the door looked like seconds ago."""
    door = Door(tmp_path, busy_s=2.0)
    source = door.source(frames(100))
    door.watch(source)
    assert door.looks.processed <= 7  # ten seconds of frames, at two seconds each
    assert source.dropped == 100 - door.looks.processed
    assert max(door.looks.ages_s) <= 0.2


def test_the_time_of_a_frame_is_that_of_all_its_stages(tmp_path: Path, systemd: Listening) -> None:
    door = Door(tmp_path, deadline_s=0.05)
    door.looks.really_s = 0.06
    door.play(frames(1))
    assert door.status_now()["late_frames"] == 1


def test_without_a_deadline_no_frame_is_late(door: Door) -> None:
    door.attendant.saw(Frame(Showing(door, 1).picture(), 0, 0.0, 0.0), 30.0)
    assert door.status_now()["late_frames"] == 0


def test_what_is_wrong_with_the_accelerator_is_told_at_once_and_that_it_is_over_too(door: Door) -> None:
    door.play(frames(20))
    door.accelerator = "lost"
    door.play(frames(20))
    door.accelerator = None
    door.play(frames(20))
    reasons = [health["reasons"] for health in door.broker.said()]
    assert [one for index, one in enumerate(reasons) if index == 0 or reasons[index - 1] != one] == [
        [],
        ["accelerator_lost"],
        [],
    ]


# What the picture shows, all the way to the health message


@pytest.mark.parametrize("state", ["frozen", "black", "blocked", "blurred"])
def test_every_fault_of_the_picture_is_named_in_health_with_what_to_do_and_cleared(door: Door, state: str) -> None:
    door.watch(Showing(door, 700))
    assert door.broker.said()[-1]["status"] == "ok"
    door.watch(Showing(door, 200, state))
    said = door.broker.said()[-1]
    assert (said["camera"], said["reasons"]) == (state, [f"camera_{state}"])
    door.watch(Showing(door, 100))
    assert door.broker.said()[-1]["status"] == "ok"


class Showing:
    """A camera at ten frames a second whose picture has texture, noise and, if so wished, a fault."""

    name, live, dropped = "showing", True, 0

    def __init__(self, door: Door, count: int, fault: str = "") -> None:
        self._door = door
        self._left = count
        self._fault = fault
        rng = np.random.default_rng(3)
        coarse = rng.integers(20, 140, (24, 32, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
        self._scene = cv2.add(coarse, rng.integers(0, 80, coarse.shape, dtype=np.uint8)).astype(np.uint8)
        self._rng = rng
        self._first: ImageU8 | None = None

    def read(self, timeout_s: float) -> Frame | None:
        if not self._left:
            return None
        self._left -= 1
        self._door.clock.advance(0.08)
        now_s = self._door.clock.monotonic_s()
        return Frame(self.picture(), self._left, now_s, 0.0)

    def picture(self) -> ImageU8:
        scene: ImageU8 = self._scene
        if self._fault == "black":
            scene = (scene // 20).astype(np.uint8)
        elif self._fault == "blocked":
            scene = np.full_like(scene, 90)
        elif self._fault == "blurred":
            scene = cv2.GaussianBlur(scene, (0, 0), 4).astype(np.uint8)
        noise: ImageU8 = self._rng.integers(0, 3, scene.shape, dtype=np.uint8)
        noisy: ImageU8 = cv2.add(scene, noise).astype(np.uint8)
        if self._fault == "frozen":
            self._first = first = noisy if self._first is None else self._first
            return first
        return noisy

    def close(self) -> None: ...
