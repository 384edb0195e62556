"""A camera that is opened again and again, on a clock of the test's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest

from edge.camera import keep_open
from edge.clock import FakeClock
from edge.errors import ConfigError, DiskError, EdgeError, InputMissing, Refused, Unavailable
from edge.records import Frame
from edge.run import Stop
from edge.sources import Source, SourceLost
from edge.sources.paced import Timer
from edge.sources.scripted import Script, ScriptedSource, Step


class Told:
    """Keeps what it is told; asks to stop at the ``stop_at``-th time that the camera is away."""

    def __init__(self, stop: Stop, stop_at: int) -> None:
        self.errors: list[str] = []
        self.pauses_s: list[float] = []
        self.retries = 0
        self._stop = stop
        self._stop_at = stop_at

    def away(self, error: EdgeError, pause_s: float) -> None:
        self.errors.append(str(error))
        self.pauses_s.append(pause_s)
        if len(self.errors) == self._stop_at:
            self._stop.ask(15)

    def retrying(self) -> None:
        self.retries += 1


class Door:
    """A camera that plays one script after the other; an error in place of one is what opening it raises."""

    def __init__(self, *lives: list[Step] | EdgeError) -> None:
        self.clock = FakeClock()
        self.frames: list[Frame] = []
        self.closed = 0
        self._lives = list(lives)

    def open(self) -> Source:
        life = self._lives.pop(0) if len(self._lives) > 1 else self._lives[0]
        if isinstance(life, EdgeError):
            raise life
        door = self

        class Counted(ScriptedSource):
            def close(self) -> None:
                door.closed += 1

        timer = Timer(self.clock.monotonic_s, self.clock.advance)
        return Counted(Script(life, size=(8, 8)), "door", live=True, timer=timer)

    def watch(self, source: Source) -> None:
        while (frame := source.read(5.0)) is not None:
            self.frames.append(frame)

    def keep(self, stop_at: int = 10**9, watch: Callable[[Source], None] | None = None) -> Told:
        stop = Stop()
        told = Told(stop, stop_at)
        keep_open(self.open, watch or self.watch, told, stop, clock=self.clock.monotonic_s, sleep=self.clock.advance)
        return told


BREAKS = [Step("frames", 3), Step("exception")]
ENDS = [Step("frames", 3)]


def test_a_camera_that_breaks_off_is_opened_again_and_its_time_goes_on() -> None:
    door = Door(BREAKS, InputMissing("gone"), BREAKS, ENDS)
    told = door.keep()
    assert told.errors == ["door: the camera broke off", "gone", "door: the camera broke off"]
    times_s = [frame.t_s for frame in door.frames]
    assert times_s == sorted(times_s)
    assert times_s[3] - times_s[2] > 1.0  # it was away, and that counts
    assert [frame.index for frame in door.frames] == list(range(9))


def test_every_camera_is_closed_before_the_next_is_opened() -> None:
    door = Door(BREAKS, BREAKS, ENDS)
    door.keep()
    assert door.closed == 3


def test_of_a_camera_that_broke_off_nothing_is_kept_while_it_is_away_and_opened_again() -> None:
    door = Door(BREAKS, ENDS)
    opened: list[weakref.ref[Source]] = []

    def open_camera() -> Source:
        assert [one() for one in opened] == [None] * len(opened)
        source = door.open()
        opened.append(weakref.ref(source))
        return source

    stop = Stop()
    keep_open(open_camera, door.watch, Told(stop, 9), stop, clock=door.clock.monotonic_s, sleep=door.clock.advance)
    assert len(opened) == 2


def test_a_camera_that_is_not_there_is_tried_ever_more_slowly_up_to_a_minute() -> None:
    told = Door(InputMissing("no camera")).keep(stop_at=300)
    assert all(1 <= pause_s <= 60 for pause_s in told.pauses_s)
    assert told.pauses_s[0] <= 2
    assert max(told.pauses_s) > 30
    assert len(set(told.pauses_s)) > 250  # at random: a hundred doors share a switch


def test_while_it_is_away_somebody_is_told_every_second() -> None:
    told = Door(InputMissing("no camera")).keep(stop_at=100)
    assert told.retries >= sum(told.pauses_s[:-1])


def test_after_a_minute_that_went_well_the_next_loss_is_met_at_once() -> None:
    long = [Step("frames", 700), Step("exception")]
    told = Door(*[InputMissing("no camera")] * 20, long, ENDS).keep()
    assert told.pauses_s[-1] <= 2


@pytest.mark.parametrize("error", [Unavailable("busy"), Refused("a wrong password"), SourceLost("broke off")])
def test_what_somebody_can_mend_at_the_door_does_not_end_the_daemon(error: EdgeError) -> None:
    assert Door(error, ENDS).keep().errors == [str(error)]


def test_what_cannot_be_meant_ends_it() -> None:
    with pytest.raises(ConfigError, match="no such camera"):
        Door(ConfigError("no such camera")).keep()


def test_a_sink_that_failed_ends_it() -> None:
    def watch(_source: Source) -> None:
        raise DiskError("disk full")

    with pytest.raises(DiskError, match="disk full"):
        Door(ENDS).keep(watch=watch)


def test_a_wish_to_stop_is_heard_in_the_middle_of_a_pause() -> None:
    door = Door(InputMissing("no camera"))
    before_s = door.clock.monotonic_s()
    told = door.keep(stop_at=40)
    assert door.clock.monotonic_s() - before_s <= sum(told.pauses_s[:-1]) + 40
    assert len(told.errors) == 40
