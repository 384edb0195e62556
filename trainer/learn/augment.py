"""What training varies, so that crops look like those a camera at a door and its detector give.

All in numpy and OpenCV on uint8 BGR, one face at a time, from a seeded generator. The order is that of the world:
the mask's cloth, things before the face, the pose and where the camera hangs, the light, then the camera itself
(distance, motion, noise, JPEG), then the detector's unsteady box, and last the device's own crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import INCORRECT, MASK, NO_MASK, Box, ImageU8
from trainer.learn.cloth import redye
from trainer.learn.light import backlight, grey, low_light, relight
from trainer.learn.occluders import occlude

Rng = np.random.Generator
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strength:
    """How much is varied. Probabilities 0-1; ``*_deg`` in degrees; the rest in shares of the box's longer side."""

    turn_deg: float = 11.0  # standard deviation, cut at 25
    shear: float = 0.08
    stretch: float = 0.08
    shift: float = 0.07  # standard deviation of the detector's box
    scale: float = 0.11  # standard deviation of the log of its size
    dye: float = 0.15  # of worn masks get another cloth
    occlude_bare: float = 0.42
    occlude_mask: float = 0.06
    tilt: float = 0.25  # are seen from above, a few from below
    backlit: float = 0.08
    relight: float = 0.75
    dim: float = 0.07
    grey: float = 0.07
    far: float = 0.65
    nearest_px: float = 110.0
    farthest_px: float = 18.0
    blur: float = 0.22
    noise: float = 0.30
    processed: float = 0.25
    jpeg: float = 0.65


STRONG: Final = Strength()
MAX_TURN_DEG: Final = 25.0
MAX_TILT_DEG: Final = 40.0  # a camera over the door; beyond it the detector finds no face
FROM_BELOW: Final = 0.15  # of the tilted ones, at half the angle: a low camera, a lifted chin
EYE_POINTS: Final = 3.0  # distance of a near camera, in face heights: what makes the chin smaller than the forehead


def augmented_crop(
    image_bgr: ImageU8,
    box: Box,
    label: str,
    rng: Rng,
    *,
    margin: float,
    size_px: int,
    points: Sequence[tuple[float, float]] = (),
    strength: Strength = STRONG,
) -> ImageU8:
    """One varied crop of a face: (size_px, size_px, 3) uint8 RGB.

    image_bgr: the context picture, unchanged. points: the face's five landmarks in it, or none; without them a worn
    mask keeps its colour.
    """
    image = image_bgr
    if label in (MASK, INCORRECT) and len(points) == 5 and rng.random() < strength.dye:
        image = redye(image, points, box, rng)
    image = occlude(image, box, rng) if rng.random() < _occlusion(label, strength) else image
    image, box = pose(image, box, rng, strength)
    image = backlight(image, box, rng) if rng.random() < strength.backlit else image
    image, box = recede(image, box, rng, strength)
    if rng.random() < strength.dim:
        image = low_light(image, rng)
    elif rng.random() < strength.relight:
        image = relight(image, rng)
    image = grey(image, rng) if rng.random() < strength.grey else image
    image = photograph(image, rng, strength)
    return crop_face(image, unsteady(box, image, rng, strength), margin, size_px)


def _occlusion(label: str, strength: Strength) -> float:
    # A badly worn mask stays as it is: what covers the bare nose or mouth would make its label untrue.
    return {NO_MASK: strength.occlude_bare, MASK: strength.occlude_mask}.get(label, 0.0)


def pose(image: ImageU8, box: Box, rng: Rng, strength: Strength) -> tuple[ImageU8, Box]:
    """Mirror, turn, shear and stretch about the middle of the box, at times seen from above; the box goes along."""
    center_x, center_y = box.center
    turn = math.radians(float(np.clip(rng.normal(0, strength.turn_deg), -MAX_TURN_DEG, MAX_TURN_DEG)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    wide = math.exp(rng.normal(0, strength.stretch))
    upright = np.array([[mirror * wide, rng.normal(0, strength.shear)], [0.0, 1.0 / wide]])
    tilt = _tilt(rng) if rng.random() < strength.tilt else 0.0
    height_px = box.height / wide
    about_middle = _square(np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]))
    about_middle = about_middle @ tilted(tilt, EYE_POINTS * height_px) @ _square(upright)
    matrix = _moved(center_x, center_y) @ about_middle @ _moved(-center_x, -center_y)
    size = image.shape[1], image.shape[0]
    if tilt:
        turned = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        turned = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    new_width, new_height = box.width * wide, height_px * math.cos(tilt)
    moved = Box(center_x - new_width / 2, center_y - new_height / 2, new_width, new_height)
    return turned.astype(np.uint8, copy=False), moved


def _tilt(rng: Rng) -> float:
    """Radians; above 0 the camera hangs higher than the face."""
    tilt = math.radians(rng.uniform(8, MAX_TILT_DEG))
    return -tilt / 2 if rng.random() < FROM_BELOW else tilt


def tilted(tilt: float, distance_px: float) -> Points:
    """(3, 3) homography of a plane about its middle, turned back by ``tilt`` radians at its lower end.

    A camera above sees the face so: shorter, and its chin, which is farther away, smaller than its forehead.
    """
    return np.array([[1.0, 0.0, 0.0], [0.0, math.cos(tilt), 0.0], [0.0, math.sin(tilt) / distance_px, 1.0]])


def _square(linear: Points) -> Points:
    whole = np.eye(3)
    whole[:2, :2] = linear
    return whole


def _moved(x: float, y: float) -> Points:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def recede(image: ImageU8, box: Box, rng: Rng, strength: Strength) -> tuple[ImageU8, Box]:
    """Often shrink the picture, so that the face is as small as one farther from the camera."""
    longer = max(box.width, box.height)
    if rng.random() >= strength.far:
        return image, box
    target = math.exp(rng.uniform(math.log(strength.farthest_px), math.log(strength.nearest_px)))
    factor = target / longer
    if factor >= 1:
        return image, box
    method = cv2.INTER_AREA if rng.random() < 0.8 else cv2.INTER_LINEAR
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)
    return small.astype(np.uint8, copy=False), Box(*(v * factor for v in box))


def photograph(image: ImageU8, rng: Rng, strength: Strength) -> ImageU8:
    """Motion or soft focus, sensor noise, the camera's own processing, JPEG: at the size at which it sees the face."""
    if rng.random() < strength.blur:
        image = _motion(image, rng) if rng.random() < 0.6 else _defocus(image, rng)
    if rng.random() < strength.noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < strength.processed:
        image = _processed(image, rng)
    if rng.random() < strength.jpeg:
        image = _jpeg(image, int(rng.integers(25, 96)))
    return image


def _processed(image: ImageU8, rng: Rng) -> ImageU8:
    """What a cheap camera does to its picture: grain and skin smoothed away, edges sharpened until they shine."""
    smooth = cv2.bilateralFilter(image, 5, rng.uniform(10, 40), 3) if rng.random() < 0.6 else image
    soft = cv2.GaussianBlur(smooth, (0, 0), rng.uniform(0.7, 2.0))
    amount = rng.uniform(0.4, 2.5)
    return cv2.addWeighted(smooth, 1 + amount, soft, -amount, 0).astype(np.uint8, copy=False)


def _jpeg(image: ImageU8, quality: int) -> ImageU8:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded a line above
    return decoded.astype(np.uint8, copy=False)


def _motion(image: ImageU8, rng: Rng) -> ImageU8:
    reach = max(3, round(max(image.shape[:2]) * rng.uniform(0.01, 0.06)))
    kernel = np.zeros((reach, reach), np.float32)
    angle = rng.uniform(0, math.pi)
    middle = (reach - 1) / 2
    along = np.array([math.cos(angle), math.sin(angle)]) * middle
    start, end = np.round(middle - along).astype(int), np.round(middle + along).astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum()).astype(np.uint8, copy=False)


def _defocus(image: ImageU8, rng: Rng) -> ImageU8:
    sigma = max(image.shape[:2]) * float(rng.uniform(0.003, 0.015))
    return cv2.GaussianBlur(image, (0, 0), max(0.3, sigma)).astype(np.uint8, copy=False)


def unsteady(box: Box, image: ImageU8, rng: Rng, strength: Strength) -> Box:
    """A detector's box of the same face in another frame: moved, scaled, of another shape; its middle on the image."""
    longer = max(box.width, box.height)
    width = box.width * math.exp(rng.normal(0, strength.scale))
    height = box.height * math.exp(rng.normal(0, strength.scale))
    center_x = box.center[0] + float(rng.normal(0, strength.shift)) * longer
    center_y = box.center[1] + float(rng.normal(0, strength.shift)) * longer
    center_x = min(max(center_x, 0.0), image.shape[1] - 1.0)
    center_y = min(max(center_y, 0.0), image.shape[0] - 1.0)
    return Box(center_x - width / 2, center_y - height / 2, max(width, 2.0), max(height, 2.0))
