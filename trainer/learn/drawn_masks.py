"""Drawn masks on bare faces: any cloth, worn well, under the nose, or on the chin.

Photos of badly worn masks are few, but a drawn mask teaches its edges; ``--pasted`` is off until a measurement on real
ones says that it helps. The cloth takes the face's light, bulges at the nose, has pleats or a seam, and hangs on loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import INCORRECT, MASK, Box, ImageU8
from trainer.learn.cloth import dyed, face_frame
from trainer.learn.occluders import Floats, Points, Rng

SHARE: Final = {
    INCORRECT: 0.25,
    MASK: 0.06,
}  # of the draws of a label that are replaced; a drawn mask needs a bare face
CHIN: Final = 1.9  # v of what must be in the picture, or there is no room for a mask
EAR: Final = 1.35  # where loops end, in eye distances from the middle


@dataclass(frozen=True, slots=True)
class Shape:
    """Where cloth lies, in face coordinates: u in eye distances from the middle, v in distances from eyes to mouth.

    top, bottom: v at the middle. wide: half its width, u. sag: how much lower its upper corners hang than its middle.
    """

    top: float
    bottom: float
    wide: float
    sag: float


def worn(label: str, rng: Rng) -> Shape:
    """A shape for which ``label`` is true: nose and mouth covered, or the nose or both left bare."""
    sag = rng.uniform(0.05, 0.3)
    if label == MASK:
        return Shape(rng.uniform(0.28, 0.48), rng.uniform(1.75, 2.05), rng.uniform(0.8, 1.05), sag)
    if rng.random() < 0.65:  # under the nose, the commonest mistake
        return Shape(rng.uniform(0.74, 0.88), rng.uniform(1.8, 2.1), rng.uniform(0.8, 1.0), sag * 0.5)
    return Shape(rng.uniform(1.25, 1.45), rng.uniform(2.0, 2.3), rng.uniform(0.65, 0.9), -sag * 0.5)  # on the chin


def has_room(image: ImageU8, points: Sequence[tuple[float, float]]) -> bool:
    """Whether the chin is in the picture."""
    x, y = face_frame(np.array(points)) @ (0.0, CHIN, 1.0)
    return bool(0 <= x < image.shape[1] and 0 <= y < image.shape[0])


def draw_mask(image: ImageU8, points: Sequence[tuple[float, float]], box: Box, label: str, rng: Rng) -> ImageU8:
    """A bare face with a mask drawn on it, so that ``label`` (``mask`` or ``incorrect``) is true of it.

    image: (height, width, 3) uint8 BGR, unchanged. points: right eye, left eye, nose tip, corners of the mouth.
    """
    frame = face_frame(np.array(points))
    shape = worn(label, rng)
    outline = _outline(shape, rng) @ frame[:, :2].T + frame[:, 2]
    size = max(box.width, box.height)
    cover = np.zeros(image.shape[:2], np.float32)
    loops = cover.copy()
    cv2.fillPoly(cover, [np.round(outline).astype(np.int32)], 1.0)
    _loops(loops, shape, frame, max(1, round(0.015 * size)))
    cloth = dyed(image.shape, _shade(image, frame, shape, rng)[:, :, None], rng)
    strap = np.float32(rng.uniform(60, 240))
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.5, 0.006 * size))[:, :, None]
    shadow = cv2.GaussianBlur(cover, (0, 0), max(0.8, 0.03 * size))[:, :, None]
    below = image * (1 - 0.35 * shadow)
    below = below + 0.8 * cv2.GaussianBlur(loops, (0, 0), 0.6)[:, :, None] * (strap - below)
    masked: ImageU8 = np.clip(below + soft * (cloth - below), 0, 255).astype(np.uint8)
    return masked


def _outline(shape: Shape, rng: Rng) -> Points:
    """(n, 2) u and v, a little different each time."""
    top, bottom, wide = shape.top, shape.bottom, shape.wide
    side = top + shape.sag
    half = [(0.0, top), (0.25, top + 0.03), (0.6 * wide, top + 0.55 * shape.sag), (wide, side)]
    half += [(wide, side + 0.45 * (bottom - side)), (0.8 * wide, bottom - 0.22), (0.4 * wide, bottom - 0.04)]
    half.append((0.0, bottom))
    left = [(-u, v) for u, v in half[-2:0:-1]]
    outline: Points = np.array(half + left) + rng.normal(0, 0.015, (len(half) + len(left), 2))
    return outline


def _loops(canvas: Floats, shape: Shape, frame: Points, thick: int) -> None:
    """Two bands on either side, from the cloth's corners to the ears."""
    side = shape.top + shape.sag
    for sign in (-1, 1):
        for v in (side, side + 0.45 * (shape.bottom - side)):
            ends = np.array([(sign * shape.wide, v), (sign * EAR, 0.35)]) @ frame[:, :2].T + frame[:, 2]
            start, end = np.round(ends).astype(int).tolist()
            cv2.line(canvas, start, end, 1.0, thick, cv2.LINE_AA)


def _shade(image: ImageU8, frame: Points, shape: Shape, rng: Rng) -> Floats:
    """(height, width): the face's own soft light, a bulge at the nose, dark sides, pleats or a seam; 1: full light."""
    height, width = image.shape[:2]
    eye_px = max(4.0, float(np.hypot(*frame[:, 0])))
    light = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 0.25 * eye_px).astype(np.float32)
    light = light / max(40.0, float(np.percentile(light, 85)))
    back = cv2.invertAffineTransform(frame)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = np.abs(back[0, 0] * x + back[0, 1] * y + back[0, 2])
    v = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    bulge = 1.08 - 0.4 * np.clip(u / shape.wide, 0, 1.2) ** 2 - 0.15 * np.clip(v - 1.2, 0, 1)
    kind = rng.random()
    if kind < 0.5:  # pleats across
        bulge = bulge * (1 - 0.12 * (np.sin(v * rng.uniform(16, 26)) > 0.55) * (u < 0.85 * shape.wide))
    elif kind < 0.8:  # a seam down the middle
        bulge = bulge * (1 - 0.2 * np.exp(-((u / 0.03) ** 2)))
    shade: npt.NDArray[np.float32] = np.clip(light * bulge, 0.15, 1.2).astype(np.float32)
    return shade
