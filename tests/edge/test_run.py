"""The loop: what ends it, and that whoever is open is told of first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from edge.errors import DataError, DiskError, EdgeError
from edge.events import Event, EventWriter
from edge.pipeline import Pipeline, Told
from edge.records import Box, Frame, Verdict
from edge.run import Outlet, Patience, Stop, closing, next_frame, run
from edge.sources import NotYetDue, SourceStalled
from edge.sources.base import Closing

QUICK = Patience(limit_s=4.0, slice_s=1.0)
Answer = Frame | None | EdgeError


def frame(index: int) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), index, index / 10, 1e9)


class Script(Closing):
    """A source that gives what it is told to; ``asked`` counts the reads."""

    name, live, dropped = "script", True, 0

    def __init__(self, *answers: Answer, at_read: Callable[[int], None] = lambda _: None) -> None:
        self._answers = list(answers)
        self._at_read = at_read
        self.asked = 0

    def read(self, timeout_s: float) -> Frame | None:
        self.asked += 1
        self._at_read(self.asked)
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, EdgeError):
            raise answer
        return answer

    def close(self) -> None:
        pass


class EveryFrame:
    """A pipeline that tells of every frame, and at its end of one more."""

    def process(self, seen: Frame) -> list[Told]:
        return [Told(Verdict("decided", seen.index + 1, "mask", 0.9, 3), Box(0, 0, 40, 40), seen.index, seen.t_s, 1e9)]

    def finish(self) -> list[Told]:
        return self.process(frame(98))


class Kept:
    """A sink that keeps what it gets, and fails from event ``fails_at`` on."""

    name, wants_more = "kept", True

    def __init__(self, fails_at: int = 10**9) -> None:
        self.payloads: list[bytes] = []
        self.closed = False
        self._fails_at = fails_at

    def publish(self, event: Event, payload: bytes) -> None:
        if event.seq >= self._fails_at:
            raise DiskError("disk full")
        self.payloads.append(payload)

    def close(self, drain_s: float) -> None:
        self.closed = True


def go(source: Script, *sinks: Kept, stop: Stop | None = None) -> None:
    outlet = Outlet(EventWriter("door", "main", "m@0123456789ab"), list(sinks))
    run(source, cast(Pipeline, EveryFrame()), outlet, QUICK, stop or Stop())


def test_every_sink_gets_the_same_bytes_and_whoever_is_open_at_the_end() -> None:
    one, other = Kept(), Kept()
    go(Script(frame(0), frame(1)), one, other)
    assert len(one.payloads) == 3
    assert one.payloads == other.payloads


def test_a_broken_file_is_told_after_whoever_is_open() -> None:
    kept = Kept()
    with pytest.raises(DataError, match="ends early"):
        go(Script(frame(0), DataError("ends early")), kept)
    assert len(kept.payloads) == 2


def test_a_full_disk_ends_the_run_and_the_other_sink_still_gets_everything() -> None:
    full, whole = Kept(fails_at=2), Kept()
    with pytest.raises(DiskError, match="disk full"):
        go(Script(frame(0), frame(1), frame(2), frame(3)), full, whole)
    assert len(full.payloads) == 1
    assert len(whole.payloads) == 3  # the two that were reached, and whoever was open


def test_a_wish_to_stop_during_a_stall_is_heard_before_the_camera_counts_as_lost() -> None:
    stop = Stop()
    source = Script(*[SourceStalled("nothing")] * 9, at_read=lambda asked: stop.ask(15) if asked == 2 else None)
    kept = Kept()
    go(source, kept, stop=stop)
    assert source.asked == 2
    assert len(kept.payloads) == 1


def test_a_camera_that_gives_nothing_is_lost_after_the_limit() -> None:
    source = Script(*[SourceStalled("nothing")] * 9)
    with pytest.raises(SourceStalled, match="no frame within 4 s"):
        next_frame(source, QUICK, Stop())
    assert source.asked == 4


def test_a_gap_in_a_file_is_waited_for_however_long_it_is() -> None:
    assert next_frame(Script(*[NotYetDue("later")] * 50, frame(0)), QUICK, Stop()) is not None


def test_what_broke_the_run_is_told_before_what_its_closing_found(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Kept):
        def close(self, drain_s: float) -> None:
            raise DiskError("could not close")

    stuck = Stuck()
    outlet = Outlet(EventWriter("door", "main", "m@0123456789ab"), [stuck])
    with caplog.at_level(logging.ERROR), pytest.raises(DataError, match="first"), closing(outlet, 0):
        raise DataError("first")
    assert "could not close" in caplog.text
