"""`edge run`: a source through the pipeline into the sinks, until the source ends or somebody stops it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from edge.errors import EdgeError
from edge.events import EventWriter, encode
from edge.pipeline import Pipeline, Told
from edge.sinks import Sink
from edge.sources import Source

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stop:
    """Set by SIGINT and SIGTERM, looked at between frames: no event is cut in two. ``signal``: 0 while running."""

    signal: int = 0

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        self.signal = number


@contextmanager
def stopping() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM for as long as the block runs; a second one ends the process at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.signal:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.ask(number, frame)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Outlet:
    """Numbers what was told and hands the same bytes to every sink."""

    writer: EventWriter
    sinks: list[Sink] = field(default_factory=list)

    def publish(self, told: Iterable[Told]) -> None:
        for one in told:
            event = self.writer.write(one.verdict, box=one.box, frame=one.frame, t_s=one.t_s, utc_s=one.utc_s)
            payload = encode(event)
            for sink in self.sinks:
                sink.publish(event, payload)

    def wants_more(self) -> bool:
        """False once every sink said that nobody reads it any longer (``| head``)."""
        return not self.sinks or any(sink.wants_more for sink in self.sinks)

    def close(self, drain_s: float) -> None:
        """Close every sink, whatever another one says; then raise the first error."""
        errors = []
        for sink in self.sinks:
            try:
                sink.close(drain_s)
            except EdgeError as error:
                errors.append(error)
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


def run(source: Source, pipeline: Pipeline, outlet: Outlet, read_timeout_s: float, stop: Stop) -> None:
    """Read, judge, publish. When the source ends or breaks, whoever is still open is decided and published first.

    Raises what the source raised (DataError for a broken file, Unavailable for a camera that gives nothing).
    """
    broken: EdgeError | None = None
    while not stop.signal and outlet.wants_more():
        try:
            frame = source.read(read_timeout_s)
        except EdgeError as error:
            broken = error
            break
        if frame is None:
            break
        outlet.publish(pipeline.process(frame))
    outlet.publish(pipeline.finish())
    if broken:
        raise broken
