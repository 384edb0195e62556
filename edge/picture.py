"""Is there anything to see? A camera may give frames on time that show nothing, or always the same.

Looked at twice a second, on a small grey copy; figures for the limits: ``tests/edge/test_picture.py`` and, below, what
the demo's clip and 60 photos of streets gave. Not for files: what they show is their author's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Frame, ImageU8

PictureState = Literal["ok", "frozen", "black", "blocked", "blurred"]

CHECK_S: Final = 0.5
# How long a fault must last before it is told. A still scene may come bit-equal from one key frame of a network camera
# to the next, and somebody may stand before the lens for a moment.
AFTER_S: Final[dict[PictureState, float]] = {"ok": 2.0, "frozen": 10.0, "black": 5.0, "blocked": 5.0, "blurred": 10.0}

WIDTH_PX: Final = 320  # of the small copy
COARSE: Final = 4  # and so much smaller again, where noise is gone
SAMPLE_STEP: Final = 8  # every 8th pixel both ways, as captured: the noise of any sensor changes some of them
BLACK_BELOW: Final = (
    32.0  # of 255, the brightest hundredth; photos 175 and more, the clip in a twentieth of its light 11
)
BLOCKED_BELOW: Final = 2.0  # mean step between neighbours of the coarse copy; photos 7 and more, a covered lens 1
SMOOTH: Final = 1 / COARSE  # fine steps per coarse step of a ramp, of which no detail is left
BLURRED_BELOW: Final = 0.4  # of the usual detail; the clip, within itself 0.8 to 1.2, blurred by 4 pixels 0.23
USUAL_MEMORY: Final = 1 / 3600  # weight of a check in the usual detail: half an hour
USUAL_AFTER: Final = 120  # checks, a minute, before there is anything to compare with


@dataclass(frozen=True, slots=True)
class Impression:
    """What one frame looked like.

    sample: some of its pixels as they are. brightest: 99th percentile of grey, 0-255. structure: mean step between
    neighbours of the coarse copy. detail: how much finer than a smooth ramp it is; 0 is out of focus.
    """

    sample: bytes
    brightest: float
    structure: float
    detail: float


class PictureWatch:
    """What is wrong with the picture of a live camera, told when it has lasted, and cleared likewise."""

    def __init__(self) -> None:
        self.state: PictureState = "ok"
        self._checked_s = -CHECK_S
        self._sample = b""
        self._seen: PictureState = "ok"  # by the last check, and since when
        self._since_s = 0.0
        self._usual = 0.0
        self._checks = 0

    @property
    def lasted_s(self) -> float:
        """Since when the last check sees what it sees, seconds of the camera's time."""
        return self._checked_s - self._since_s

    def begin(self, t_s: float) -> None:
        """The camera was opened again: what it showed before is no measure of what it shows now."""
        self.state = self._seen = "ok"
        self._sample, self._since_s = b"", t_s

    def look(self, frame: Frame) -> PictureState:
        """The state after this frame. Frames of one camera, in order; ``t_s`` never goes back."""
        if frame.t_s - self._checked_s >= CHECK_S:
            self._check(impression(frame.image_bgr), self._checked_s, frame.t_s)
            self._checked_s = frame.t_s
        return self.state

    def _check(self, seen: Impression, before_s: float, now_s: float) -> None:
        fault = self._fault(seen)
        if fault != self._seen:  # a frozen picture froze when it was last seen to move
            self._seen, self._since_s = fault, before_s if fault == "frozen" else now_s
        if now_s - self._since_s >= AFTER_S[fault]:
            self.state = fault
        if fault == "ok" and self.state == "ok":
            self._learn(seen.detail)
        self._sample = seen.sample

    def _fault(self, seen: Impression) -> PictureState:
        if seen.brightest < BLACK_BELOW:
            return "black"  # before frozen: some cameras in the dark give pure black, without noise
        if seen.sample == self._sample:
            return "frozen"
        if seen.structure < BLOCKED_BELOW:
            return "blocked"
        return "blurred" if self._checks >= USUAL_AFTER and seen.detail < BLURRED_BELOW * self._usual else "ok"

    def _learn(self, detail: float) -> None:
        self._checks += 1
        self._usual += max(1 / self._checks, USUAL_MEMORY) * (detail - self._usual)


def impression(image_bgr: ImageU8) -> Impression:
    """image_bgr: (height, width, 3) uint8 of any size."""
    height, width = image_bgr.shape[:2]
    scale = WIDTH_PX / max(width, height)
    fine = shrunk(image_bgr, round(width * scale), round(height * scale))
    coarse = shrunk(fine, fine.shape[1] // COARSE, fine.shape[0] // COARSE)
    structure = mean_step(coarse)
    detail = mean_step(fine) / structure - SMOOTH if structure > 0 else 0.0
    sample = image_bgr[::SAMPLE_STEP, ::SAMPLE_STEP].tobytes()
    return Impression(sample, float(np.percentile(coarse, 99)), structure, max(0.0, detail))


def shrunk(image: ImageU8, width: int, height: int) -> ImageU8:
    """Grey, at least 2 x 2. Green stands for grey: it is most of it, and is there already."""
    grey = cv2.extractChannel(image, 1) if image.ndim == 3 else image
    size = max(2, width), max(2, height)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def mean_step(grey: npt.NDArray[np.uint8]) -> float:
    """Mean difference between neighbours, across and down, in grey levels."""
    across = cv2.absdiff(grey[:, 1:], grey[:, :-1])
    down = cv2.absdiff(grey[1:], grey[:-1])
    return (cv2.mean(across)[0] + cv2.mean(down)[0]) / 2
