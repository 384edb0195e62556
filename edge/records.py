"""The values that cross from one stage to the next. Imports nothing of ours.

Frames flow one way: source -> detect -> track -> classify -> decide -> publish.
Boxes are in pixels of the frame as captured, after rotation. Times called ``t_s`` are seconds since the source began:
media time for files, monotonic time for cameras; never wall time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

MASK: Final = "mask"
NO_MASK: Final = "no_mask"
UNCERTAIN: Final = "uncertain"
INCORRECT: Final = "incorrect"  # a model's third label: a mask is there, nose or mouth bare; an event calls it no_mask

Label = Literal["mask", "no_mask", "uncertain"]
AcceleratorTrouble = Literal["absent", "failed", "lost"]  # not found; found and unusable; gone after it had worked
ImageU8 = npt.NDArray[np.uint8]


class Box(NamedTuple):
    """An upright rectangle: left, top, width, height in pixels; may reach over the frame's border."""

    x: float
    y: float
    width: float
    height: float

    @property
    def shorter_px(self) -> float:
        return min(self.width, self.height)

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the source.

    image_bgr: (height, width, 3) uint8, upright.
    index: counts from 0 in the source; frames that a live source dropped leave gaps.
    t_s: seconds since the source began.
    utc_s: wall time of the frame, seconds since 1970.
    """

    image_bgr: ImageU8
    index: int
    t_s: float
    utc_s: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face found in one frame.

    score: the detector's, 0-1; not comparable between detectors.
    landmarks: right eye, left eye, nose tip, right and left corner of the mouth ("right" is the person's own),
    each (x, y) in pixels of the frame; guessed by the detector where they are hidden.
    appearance: colours of hair and chest (``edge/appearance.py``), None where nobody looked.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...]
    appearance: npt.NDArray[np.float32] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face found in this frame, and whose it is. A coasting track has none.

    shorter_px: the shorter side of this person's box over the last half second; one box alone jitters.
    """

    person: int
    face: Face
    shorter_px: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One crop judged by the classifier.

    p_mask: calibrated probability of label ``mask``, 0-1.
    p_incorrect: share of the rest that is a badly worn mask, 0-1; 0 where the model does not tell it.
    """

    p_mask: float
    p_incorrect: float


@dataclass(frozen=True, slots=True)
class Look:
    """A reading of one person, and how far it can be trusted.

    quality: 0-1; 0 does not count at all (too small, blurred, cut off, turned away).
    """

    person: int
    t_s: float
    reading: Reading
    quality: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became known of a person: ``decided`` once, ``changed`` when a mask goes on or off, ``left`` at the end.

    p_mask: calibrated probability of ``mask`` over the looks so far, 0-1.
    looks: how many looks counted so far.
    incorrect: only with ``no_mask``: a mask is there, nose or mouth bare.
    was: the label before, with ``changed``. stayed_s: from first to last sight, with ``left``.
    """

    kind: Literal["decided", "changed", "left"]
    person: int
    label: Label
    p_mask: float
    looks: int
    incorrect: bool = False
    was: Label | None = None
    stayed_s: float | None = None
