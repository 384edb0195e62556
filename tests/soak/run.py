"""One soak from its first frame to its last, and what came of it."""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.soak.door import EDGE, Door, Usage, mounting, wait_for
from tests.soak.faults import OUTSIDE, Due, drawn, kinds_of, script
from tests.soak.trend import Slope, slope
from tests.soak.walk import make_walk

SAMPLE_S: Final = 0.5
WARM_SHARE: Final = 0.4  # of the frames, where there are no faults
CALM_LOOKS: Final = 9  # a file that is being written is open for a moment
PATIENCE_S: Final = 300.0  # until every event of before has arrived; MQTT's own pauses grow to a minute
SPARE: Final = 60  # times the frames between two faults: a fault lasts a minute or more, and a fast machine films on
STUCK_S: Final = 300.0  # without a new event


@dataclass
class Report:
    """warm_frame: by then every kind of fault has struck once.

    What a process takes when something happens for the first time it keeps (room for a second model while the first is
    still there); growth is what comes with every further time.
    """

    frames: int
    due: list[Due]
    warm_frame: int
    samples: list[Usage] = field(default_factory=list)
    calm: list[Usage] = field(default_factory=list)  # before the first fault, after each, and before the end
    exit_code: int = -1
    told: list[bytes] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    repeated: int = 0
    tracebacks: int = 0
    memory_only: int = 0  # times that the outbox said so
    took_s: float = 0.0

    def warm(self) -> list[Usage]:
        return [one for one in self.samples if one.frame >= self.warm_frame]

    def rss(self) -> Slope:
        warm = self.warm()
        return slope([one.frame for one in warm], [one.rss_kib for one in warm])

    def problems(self, limit_kib: float) -> list[str]:
        """limit_kib: what 1,000 frames may add to the resident memory, by the interval's upper end."""
        rss = self.rss()
        lost = len(set(self.told) - set(self.held))
        say = {
            f"resident memory: {rss}: more than {limit_kib:g} KiB, or too uncertain to tell": rss.high > limit_kib,
            f"open files: {_seen(self.calm, 'fds')}": len({one.fds for one in self.calm}) > 1,
            f"threads: {_seen(self.calm, 'threads')}": len({one.threads for one in self.calm}) > 1,
            f"{lost} events are lost": lost > 0,
            "the events did not come in order": lost == 0 and self.held != self.told,
            f"{len(self.told)} events of {self.frames} frames: the people are missing": len(self.told)
            < self.frames / 100,
            f"exit code {self.exit_code}": self.exit_code != 0,
            f"{self.tracebacks} tracebacks": self.tracebacks > 0,
        }
        return [what for what, is_so in say.items() if is_so]

    def __str__(self) -> str:
        warm, first = [one.rss_kib for one in self.warm()], self.samples[0].rss_kib
        faults = [f"  at {due.frame:7,}  {due.kind}" for due in self.due]
        return "\n".join(
            (
                f"{self.frames:,} frames in {self.took_s:.0f} s, {len(self.due)} faults:",
                *faults,
                f"resident memory from frame {self.warm_frame:,} on, KiB: {self.rss()}",
                f"  {min(warm):,} to {max(warm):,} KiB; in the first seconds {first:,}",
                f"open files when calm: {_seen(self.calm, 'fds')}; threads: {_seen(self.calm, 'threads')}",
                f"events: {len(self.told):,} told, {len(self.held):,} held, {self.repeated} came again; in order: "
                f"{self.held == self.told}",
                f"the outbox waited in memory {self.memory_only} times; exit code {self.exit_code}",
            )
        )


def _seen(calm: Sequence[Usage], name: str) -> str:
    return " ".join(str(getattr(one, name)) for one in calm)


def soak(
    frames: int,
    every: int,
    seed: int,
    *,
    longest_s: float = 8.0,
    program: Sequence[str] = EDGE,
    has_faults: bool = True,
) -> Report:
    """every: frames between two faults. longest_s: of a fault. program: see ``Door``."""
    with tempfile.TemporaryDirectory(prefix="mask-edge-soak-") as name:
        folder = Path(name)
        (folder / "probe").mkdir()
        kinds = kinds_of(can_fill_disk=bool(mounting(folder / "probe"))) if has_faults else []
        due = drawn(frames, every, seed, kinds) if kinds else []
        warm_frame = (len(kinds) + 1) * every if kinds else round(WARM_SHARE * frames)
        filmed = frames + SPARE * every
        make_walk(folder / "walk.mkv", filmed, seed)
        began_s = time.monotonic()
        with Door(folder, script(filmed, due, "walk.mkv"), program) as door:
            report = Report(frames, due, warm_frame)
            over = threading.Event()
            sampling = threading.Thread(target=_sample, args=(door, report, over), daemon=True)
            sampling.start()
            try:
                _live(door, report, random.Random(seed), longest_s)
            finally:
                over.set()
                sampling.join()
            report.exit_code = door.stop(PATIENCE_S)
            wait_for(door.is_caught_up, "every event has arrived", PATIENCE_S)
            report.took_s = time.monotonic() - began_s
            report.told, report.held = door.events(), list(door.listener.held.values())
            report.repeated, report.tracebacks = door.listener.repeated, door.log().count("Traceback")
            report.memory_only = door.log().count("wait in memory only")
            return report


def _live(door: Door, report: Report, draw: random.Random, longest_s: float) -> None:
    """From fault to fault; one that is the camera's own comes by itself. In between, how it is when all is calm."""
    first = report.due[0].frame if report.due else report.frames
    _await_frame(door, first // 2)
    report.calm.append(_calm(door))
    for due in report.due:
        _await_frame(door, due.frame)
        assert not door.has_ended, f"the daemon ended before {due}: {door.log()[-2000:]}"
        if due.kind in OUTSIDE:
            OUTSIDE[due.kind](door, draw, longest_s)
        _await_frame(door, due.frame + first // 2)
        report.calm.append(_calm(door))
        print(f"{time.strftime('%H:%M:%S')} frame {door.frame():,}: {due.kind}: {report.calm[-1]}", flush=True)
    _await_frame(door, report.frames)
    report.calm.append(_calm(door))


def _await_frame(door: Door, frame: int) -> None:
    seen, since_s = door.frame(), time.monotonic()
    while seen < frame:
        assert not door.has_ended, f"the daemon ended at frame {seen}: {door.log()[-2000:]}"
        assert time.monotonic() - since_s < STUCK_S, f"no event since frame {seen}: {door.log()[-2000:]}"
        time.sleep(0.25)
        if (now := door.frame()) != seen:
            seen, since_s = now, time.monotonic()


def _calm(door: Door) -> Usage:
    """The subscriber has what there was, and the camera gives frames: a new event comes."""
    wait_for(lambda: door.has_ended or door.is_nearly_caught_up(), "the subscriber is up to date", PATIENCE_S)
    before = door.told()
    wait_for(lambda: door.has_ended or door.told() > before, "a new event", STUCK_S)
    looks = []
    for _ in range(CALM_LOOKS):
        looks.append(door.usage())
        time.sleep(0.1)
    middle = [round(statistics.median(getattr(one, name) for one in looks)) for name in ("rss_kib", "fds", "threads")]
    return Usage(looks[-1].frame, *middle)


def _sample(door: Door, report: Report, over: threading.Event) -> None:
    while not over.wait(SAMPLE_S) and not door.has_ended:
        with contextlib.suppress(OSError, KeyError):  # it ended while it was looked at
            report.samples.append(door.usage())
