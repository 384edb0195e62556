"""``scripted:FILE.toml``: a source that misbehaves on purpose, for tests and for a technician's dry run.

    size = [640, 480]         # of generated pictures
    fps = 10
    frames = "clip.mp4"       # pictures of another source instead, from its start; relative to this file
    [[step]]
    do = "frames"
    count = 30

What a step can ``do`` is in ``KEYS``. A script that was left because the source broke off goes on, when it is opened
again, where it broke: so "breaks, is away for two attempts, comes back" can be written down.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError, InputMissing
from edge.opencv import cv2
from edge.records import Frame, ImageU8
from edge.sources.base import Closing, Source, SourceLost, SourceStalled, as_bgr
from edge.sources.paced import REAL_TIME, Timer, VirtualTime

BURST_GAP_S: Final = 0.001
MAX_COUNT: Final = 100_000

# What a step can do, and which numbers it takes.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "frames": ("count",),  # good pictures
    "repeats": ("count",),  # the last picture again: a driver that froze
    "black": ("count",),  # a covered lens
    "swapped": ("count",),  # red and blue changed places
    "size": ("count", "width", "height"),  # pictures of another size
    "empty": ("count",),  # 0 x 0: no picture at all
    "burst": ("count",),  # all at one moment
    "slow": ("count", "fps"),  # at another rate
    "stall": ("seconds",),  # nothing comes
    "exception": ("message",),  # the source breaks off: SourceLost
    "absent": ("count",),  # so many attempts to open it find no camera
}
PICTURES: Final = ("frames", "repeats", "black", "swapped", "size", "empty", "burst", "slow")

_broke_at: dict[Path, int] = {}  # where a script goes on when it is opened again


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script; which fields count is in ``KEYS``. seconds: of a stall. width, height: pixels."""

    do: str
    count: int = 1
    seconds: float = 0.0
    fps: float = 1.0
    width: int = 320
    height: int = 240
    message: str = "the camera broke off"


@dataclass(frozen=True, slots=True)
class Beat:
    """One thing that happens, at ``t_s`` seconds of the script."""

    do: str
    t_s: float
    step: Step


@dataclass(frozen=True, slots=True)
class Script:
    """Steps, and what their pictures are. size: (width, height) in pixels of generated ones; frames: opens a source."""

    steps: Sequence[Step]
    size: tuple[int, int] = (640, 480)
    fps: float = 10.0
    frames: Callable[[], Source] | None = field(default=None)

    def beats(self) -> list[Beat]:
        """Every single thing in order, the end last. A stall is a gap between two."""
        beats, t_s = [], 0.0
        for step in self.steps:
            gap_s = {"burst": BURST_GAP_S, "slow": 1 / step.fps}.get(step.do, 1 / self.fps)
            for _ in range(0 if step.do == "stall" else step.count):
                beats.append(Beat(step.do, t_s, step))
                t_s += gap_s if step.do in PICTURES else 0.0
            t_s += step.seconds if step.do == "stall" else 0.0
        return [*beats, Beat("end", t_s, Step("end"))]


class ScriptedSource(Closing):
    """Plays a script. live: in real time, the newest frame wins; else every frame, in time that passes only when read.

    path: what a script that broke off is remembered by.
    """

    def __init__(
        self, script: Script, name: str, live: bool, path: Path | None = None, timer: Timer = REAL_TIME
    ) -> None:
        self.name = name
        self.live = live
        self.dropped = 0
        self._script = script
        self._beats = script.beats()
        self._path = path
        self._at = _broke_at.pop(path, 0) if path else 0
        self._broken = False
        self._fail_if_absent()
        self._timer = timer if live else VirtualTime().timer()
        self._first_s = self._beats[self._at].t_s
        self._started_s = self._timer.now_s()
        self._index = 0
        self._last: ImageU8 | None = None
        self._inner = script.frames() if script.frames else None

    def read(self, timeout_s: float) -> Frame | None:
        deadline_s = self._timer.now_s() + timeout_s
        while True:
            self._skip_stale(deadline_s)
            beat = self._beats[self._at]
            self._wait_for(beat, deadline_s, timeout_s)
            if beat.do == "end":
                return None
            self._at += 1
            if beat.do == "exception":
                self._broken = True
                raise SourceLost(f"{self.name}: {beat.step.message}")
            frame = self._frame_of(beat) if beat.do in PICTURES else None
            if frame is not None:
                return frame
            if self._ended():
                return None

    def close(self) -> None:
        if self._broken and self._path:
            _broke_at[self._path] = self._at
        if self._inner is not None:
            self._inner.close()

    def _fail_if_absent(self) -> None:
        if self._beats[self._at].do == "absent":
            if self._path:
                _broke_at[self._path] = self._at + 1
            raise InputMissing(f"{self.name}: no camera, as the script says")

    def _due_s(self, beat: Beat) -> float:
        return self._started_s + beat.t_s - self._first_s

    def _skip_stale(self, deadline_s: float) -> None:
        """Live: drop pictures that a newer one has overtaken."""
        while self.live and self._beats[self._at].do in PICTURES and self._beats[self._at + 1].do in PICTURES:
            now_s = self._timer.now_s()
            if self._due_s(self._beats[self._at + 1]) > now_s or now_s > deadline_s:
                return
            self._frame_of(self._beats[self._at])
            self._at += 1
            self.dropped += 1

    def _wait_for(self, beat: Beat, deadline_s: float, timeout_s: float) -> None:
        missing_s, left_s = self._due_s(beat) - self._timer.now_s(), max(0.0, deadline_s - self._timer.now_s())
        self._timer.wait(max(0.0, min(missing_s, left_s)))
        if missing_s > left_s + 1e-9:
            raise SourceStalled(f"{self.name}: no frame within {timeout_s:g} s")

    def _frame_of(self, beat: Beat) -> Frame | None:
        """The beat's frame; None where it is no picture, which counts as dropped, or the inner source has ended."""
        picture = self._picture(beat)
        if picture is None:
            return None
        index, self._index = self._index, self._index + 1
        try:
            return Frame(as_bgr(picture), index, beat.t_s - self._first_s, time.time())
        except DataError:
            self.dropped += 1
            return None

    def _picture(self, beat: Beat) -> ImageU8 | None:
        """What the camera gives at this beat; None when the inner source has ended."""
        if beat.do == "empty":
            return np.zeros((0, 0, 3), np.uint8)
        if beat.do != "repeats" or self._last is None:
            self._last = self._good_picture()
        return None if self._last is None else spoil(self._last, beat.step)

    def _good_picture(self) -> ImageU8 | None:
        if self._inner is None:
            return generated(self._index, *self._script.size)
        frame = self._inner.read(1.0)
        if frame is None:
            self._at = len(self._beats) - 1
        return None if frame is None else frame.image_bgr

    def _ended(self) -> bool:
        return self._at == len(self._beats) - 1 and self._inner is not None


def spoil(picture: ImageU8, step: Step) -> ImageU8:
    """What a step does to a good picture."""
    if step.do == "black":
        return np.zeros_like(picture)
    if step.do == "swapped":
        return np.ascontiguousarray(picture[:, :, ::-1])
    if step.do == "size":
        return cv2.resize(picture, (step.width, step.height)).astype(np.uint8, copy=False)
    return picture


def generated(index: int, width: int, height: int) -> ImageU8:
    """A picture that is different for every index: a slanted grey ramp that moves, a red square that walks."""
    ramp = np.add.outer(np.arange(height), np.arange(width)) + 3 * index
    image = np.repeat((40 + ramp % 160).astype(np.uint8)[:, :, None], 3, axis=2)
    side = max(1, min(width, height) // 8)
    left = 7 * index % max(1, width - side)
    image[:side, left : left + side] = (0, 0, 255)
    return image


def load_script(path: Path, open_frames: Callable[[str], Source]) -> Script:
    """Read a script from TOML. open_frames: opens what ``frames`` names. Raises InputMissing and DataError."""
    if path.exists() and not path.is_file():  # a device may have no end
        raise DataError(f"{path} is not a script: it is no regular file")
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputMissing(f"{path}: no such script") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a script: {error}") from error
    _known(path, "the script", table, ("size", "fps", "frames", "step"))
    steps = [_step(path, number, entry) for number, entry in enumerate(table.get("step", []), 1)]
    size, fps, frames = table.get("size", [640, 480]), table.get("fps", 10), table.get("frames")
    if not steps:
        raise DataError(f"{path}: a script needs at least one [[step]]")
    return Script(steps, _size(path, size), _number(path, "fps", fps, 0.01, 240), _opener(path, frames, open_frames))


def _opener(path: Path, frames: str | None, open_frames: Callable[[str], Source]) -> Callable[[], Source] | None:
    return None if frames is None else lambda: open_frames(str(path.parent / frames))


LIMITS: Final = {"count": (1, MAX_COUNT), "width": (1, 10_000), "height": (1, 10_000), "fps": (0.01, 240)}


def _step(path: Path, number: int, entry: dict[str, Any]) -> Step:
    where, do = f"step {number}", entry.get("do")
    if do not in KEYS:
        raise DataError(f"{path}: {where}: do = {do!r} is not known; there are {', '.join(KEYS)}")
    _known(path, f"{where} ({do})", entry, ("do", *KEYS[do]))
    values: dict[str, Any] = {"do": do}
    for key in entry.keys() - {"do", "message"}:
        number_of = float if key in ("seconds", "fps") else int
        values[key] = number_of(_number(path, f"{where}: {key}", entry[key], *LIMITS.get(key, (0.0, 1e9))))
    if "message" in entry:
        values["message"] = str(entry["message"])
    return Step(**values)


def _known(path: Path, where: str, table: dict[str, Any], keys: Sequence[str]) -> None:
    for key in table:
        if key not in keys:
            raise DataError(f"{path}: {where} has no {key!r}; there are {', '.join(keys)}")


def _size(path: Path, size: object) -> tuple[int, int]:
    if not isinstance(size, list) or len(size) != 2:
        raise DataError(f"{path}: size is [width, height], not {size!r}")
    width, height = (int(_number(path, "size", side, 1, 10_000)) for side in size)
    return width, height


def _number(path: Path, what: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DataError(f"{path}: {what} must be {low:g} to {high:g}, is {value!r}")
    return float(value)
