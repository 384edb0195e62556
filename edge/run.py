"""`edge run`: a source through the pipeline into the sinks, until the source ends or somebody stops it."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Protocol

from edge.errors import EdgeError
from edge.events import Event, EventWriter, encode
from edge.pipeline import Pipeline, Told
from edge.records import UNCERTAIN, Frame, ImageU8
from edge.sinks import PictureSink, Sink
from edge.sources import NotYetDue, Source, SourceLost, SourceStalled

log = logging.getLogger(__name__)

FEW_FRAMES: Final = 5


@dataclass(slots=True)
class Stop:
    """Set by SIGINT and SIGTERM, looked at between frames: no event is cut in two. ``signal``: 0 while running."""

    signal: int = 0

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        self.signal = number


@contextmanager
def stopping() -> Iterator[Stop]:
    """Catch SIGINT, SIGTERM and SIGHUP for as long as the block runs; a second one ends the process at once.

    SIGHUP: the terminal was closed, unless somebody said that this does not matter (nohup).
    """
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.signal:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.ask(number, frame)

    numbers = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.add(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Outlet:
    """Numbers what was told and hands the same bytes to every sink.

    failures: what sinks raised; a sink that failed is given nothing more, the others still are.
    witness: is told of every event, for what the door keeps of itself.
    decided: persons so far, of whom ``uncertain`` were told as that.
    """

    writer: EventWriter
    sinks: list[Sink] = field(default_factory=list)
    failures: list[EdgeError] = field(default_factory=list)
    decided: int = 0
    witness: Callable[[Event], None] | None = None
    uncertain: int = 0
    _failed: list[Sink] = field(default_factory=list)

    def publish(self, told: Iterable[Told]) -> None:
        for one in told:
            event = self.writer.write(one.verdict, box=one.box, frame=one.frame, t_s=one.t_s, utc_s=one.utc_s)
            payload = encode(event)
            if event.type == "decided":
                self.decided += 1
                self.uncertain += event.label == UNCERTAIN
            if self.witness:
                self.witness(event)
            if one.face_bgr is not None:
                self._show(event, one.face_bgr)
            for sink in self.sinks:
                if sink not in self._failed:
                    self._hand(sink, event, payload)

    def wants_more(self) -> bool:
        """False once a sink failed, or every sink said that nobody reads it any longer (``| head``)."""
        is_read = not self.sinks or any(sink.wants_more for sink in self.sinks)
        return is_read and not self.failures

    def close(self, drain_s: float) -> None:
        """Close every sink, whatever another one says; then raise the first error."""
        errors = []
        for sink in self.sinks:
            try:
                sink.close(drain_s)
            except EdgeError as error:
                errors.append(error)
        raise_first(errors)

    def _show(self, event: Event, face_bgr: ImageU8) -> None:
        """Before the event itself: a sink that is closed waits for its events, and pictures go out meanwhile."""
        for sink in self.sinks:
            if isinstance(sink, PictureSink):
                sink.show(event, face_bgr)

    def _hand(self, sink: Sink, event: Event, payload: bytes) -> None:
        try:
            sink.publish(event, payload)
        except EdgeError as error:
            self.failures.append(error)
            self._failed.append(sink)


def raise_first(errors: list[EdgeError]) -> None:
    """One error ends the run; the others are said in the log."""
    for further in errors[1:]:
        log.error("%s", further)
    if errors:
        raise errors[0]


@contextmanager
def closing(outlet: Outlet, drain_s: float) -> Iterator[None]:
    """Close the sinks at the end of the block. What broke the block is told before what the closing found."""
    try:
        yield
    except BaseException:
        try:
            outlet.close(drain_s)
        except EdgeError as further:
            log.error("%s", further)
        raise
    outlet.close(drain_s)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a read may take, seconds: ``slice_s`` until somebody's wish to stop is looked at, ``limit_s`` until the
    source counts as lost."""

    limit_s: float = 10.0
    slice_s: float = 2.0


class Watcher(Protocol):
    """Who is told how a run goes; both are called between frames."""

    def saw(self, frame: Frame, busy_s: float) -> None:
        """The frame has been through every stage, which took ``busy_s``. An EdgeError raised here ends the run."""

    def waited(self) -> None:
        """Nothing came for a moment."""


class Nobody:
    def saw(self, frame: Frame, busy_s: float) -> None:
        pass

    def waited(self) -> None:
        pass


NOBODY: Final = Nobody()


def run(
    source: Source, pipeline: Pipeline, outlet: Outlet, patience: Patience, stop: Stop, *, watcher: Watcher = NOBODY
) -> None:
    """Read, judge, publish. When the source ends or breaks, whoever is still open is decided and published first.

    Raises what a sink or the source raised (DataError for a broken file, Unavailable for a camera that gives nothing).
    """
    broken: list[EdgeError] = []
    frames = 0
    try:
        while outlet.wants_more() and (frame := next_frame(source, patience, stop, watcher)) is not None:
            frames += 1
            began_s = time.monotonic()
            outlet.publish(pipeline.process(frame))
            watcher.saw(frame, time.monotonic() - began_s)
    except EdgeError as error:
        broken.append(error)
    outlet.publish(pipeline.finish())
    is_lost = any(isinstance(error, SourceLost) for error in broken)  # where it is opened again, that is no news
    log.log(logging.DEBUG if is_lost else logging.INFO, "%s", summary(frames, outlet.decided))
    raise_first(outlet.failures + broken)


def summary(frames: int, decided: int) -> str:
    """What a run came to, in a line."""
    few = "; it takes several frames to decide: for single pictures use 'edge classify'"
    count = f"{frames} frame{'s' * (frames != 1)} seen, {decided} person{'s' * (decided != 1)} decided"
    return count + (few if 0 < frames < FEW_FRAMES and not decided else "")


def next_frame(source: Source, patience: Patience, stop: Stop, watcher: Watcher = NOBODY) -> Frame | None:
    """The next frame; None where the source ended or somebody asked to stop. Raises SourceStalled after the limit."""
    waited_s = 0.0
    while not stop.signal:
        slice_s = min(patience.slice_s, patience.limit_s)
        try:
            return source.read(slice_s)
        except NotYetDue:
            watcher.waited()
        except SourceStalled as error:
            waited_s += slice_s
            if waited_s >= patience.limit_s and not stop.signal:
                raise SourceStalled(f"{source.name}: no frame within {patience.limit_s:g} s") from error
            watcher.waited()
        except EdgeError:
            if not stop.signal:
                raise
    return None
