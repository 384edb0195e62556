"""What training varies, so that crops look like those a camera at a door and its detector give.

All in numpy and OpenCV on uint8 BGR, one face at a time, from a seeded generator. The order is that of the world:
things before the face, the pose, the light, then the camera (distance, motion, noise, JPEG), then the detector's
unsteady box, and last the device's own crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import MASK, NO_MASK, Box, ImageU8
from trainer.learn.hands import hand_before

Rng = np.random.Generator
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strength:
    """How much is varied. Probabilities 0-1; ``*_deg`` in degrees; the rest in shares of the box's longer side."""

    turn_deg: float = 11.0  # standard deviation, cut at 25
    shear: float = 0.08
    stretch: float = 0.08
    shift: float = 0.07  # standard deviation of the detector's box
    scale: float = 0.11  # standard deviation of the log of its size
    occlude_bare: float = 0.36
    occlude_mask: float = 0.06
    relight: float = 0.75
    grey: float = 0.07
    far: float = 0.65
    nearest_px: float = 110.0
    farthest_px: float = 18.0
    blur: float = 0.22
    noise: float = 0.30
    jpeg: float = 0.65


STRONG: Final = Strength()
MAX_TURN_DEG: Final = 25.0


def augmented_crop(
    image_bgr: ImageU8,
    box: Box,
    label: str,
    rng: Rng,
    *,
    margin: float,
    size_px: int,
    strength: Strength = STRONG,
) -> ImageU8:
    """One varied crop of a face: (size_px, size_px, 3) uint8 RGB. image_bgr: the context picture, unchanged."""
    image = occlude(image_bgr, box, rng) if rng.random() < _occlusion(label, strength) else image_bgr
    image, box = pose(image, box, rng, strength)
    image, box = recede(image, box, rng, strength)
    image = relight(image, rng) if rng.random() < strength.relight else image
    image = grey(image, rng) if rng.random() < strength.grey else image
    image = photograph(image, rng, strength)
    return crop_face(image, unsteady(box, image, rng, strength), margin, size_px)


def _occlusion(label: str, strength: Strength) -> float:
    # A badly worn mask stays as it is: what covers the bare nose or mouth would make its label untrue.
    return {NO_MASK: strength.occlude_bare, MASK: strength.occlude_mask}.get(label, 0.0)


def pose(image: ImageU8, box: Box, rng: Rng, strength: Strength) -> tuple[ImageU8, Box]:
    """Mirror, turn, shear and stretch about the middle of the box; the box keeps its middle."""
    center_x, center_y = box.center
    turn = math.radians(float(np.clip(rng.normal(0, strength.turn_deg), -MAX_TURN_DEG, MAX_TURN_DEG)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    wide = math.exp(rng.normal(0, strength.stretch))
    linear = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = linear @ np.array([[mirror * wide, rng.normal(0, strength.shear)], [0.0, 1.0 / wide]])
    offset = np.array([center_x, center_y]) - linear @ (center_x, center_y)
    matrix = np.hstack([linear, offset[:, None]])
    height, width = image.shape[:2]
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    new_width, new_height = box.width * wide, box.height / wide
    moved = Box(center_x - new_width / 2, center_y - new_height / 2, new_width, new_height)
    return turned.astype(np.uint8, copy=False), moved


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


def relight(image: ImageU8, rng: Rng) -> ImageU8:
    """Brightness, contrast, gamma and a colour cast by one table per channel; at times light from one side."""
    levels = np.arange(256, dtype=np.float32) / 255
    table = np.clip(levels * math.exp(rng.normal(0, 0.18)), 0, 1) ** math.exp(rng.normal(0, 0.28))
    table = (table - 0.5) * math.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    cast = np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    tables = np.clip(table[:, None] * cast * 255, 0, 255).astype(np.uint8)
    lit = cv2.LUT(image, tables.reshape(1, 256, 3))
    return (
        side_light(lit.astype(np.uint8, copy=False), rng) if rng.random() < 0.25 else lit.astype(np.uint8, copy=False)
    )


def side_light(image: ImageU8, rng: Rng) -> ImageU8:
    """A slope of light over the picture, from half to one and a half: a window beside or behind the person."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    slope = x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle)
    light = 1 + np.float32(rng.uniform(0.1, 0.5)) * slope
    lit: ImageU8 = np.clip(image * light[:, :, None], 0, 255).astype(np.uint8)
    return lit


def grey(image: ImageU8, rng: Rng) -> ImageU8:
    """Less colour down to none, as infrared light at night gives."""
    mono = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    keep = 0.0 if rng.random() < 0.7 else float(rng.uniform(0, 0.5))
    return cv2.addWeighted(image, keep, mono, 1 - keep, 0).astype(np.uint8, copy=False)


def photograph(image: ImageU8, rng: Rng, strength: Strength) -> ImageU8:
    """Motion or soft focus, sensor noise, JPEG: what happens at the size at which the camera sees the face."""
    if rng.random() < strength.blur:
        image = _motion(image, rng) if rng.random() < 0.6 else _defocus(image, rng)
    if rng.random() < strength.noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < strength.jpeg:
        image = _jpeg(image, int(rng.integers(25, 96)))
    return image


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


def occlude(image: ImageU8, box: Box, rng: Rng) -> ImageU8:
    """Something before the lower face that is no mask: a hand in the colour of this skin, a cup, a flat object."""
    draw = (hand, hand, hand, cup, thing)[int(rng.integers(5))]
    layer, cover = draw(image, box, rng)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.5, 0.008 * max(box.width, box.height)))[:, :, None]
    mixed = image * (1 - soft) + layer * soft
    return np.clip(mixed, 0, 255).astype(np.uint8)


Layer = tuple[Floats, Floats]  # what is drawn, (height, width, 3) 0-255, and where it covers, (height, width) 0-1


def skin_bgr(image: ImageU8, box: Box) -> tuple[ImageU8, Floats]:
    """A patch of the forehead or upper cheek of this face, and its median colour (BGR, 0-255)."""
    height, width = image.shape[:2]
    left, right = round(box.x + 0.3 * box.width), round(box.x + 0.7 * box.width)
    top, bottom = round(box.y + 0.12 * box.height), round(box.y + 0.45 * box.height)
    patch = image[max(0, top) : max(1, min(height, bottom)), max(0, left) : max(1, min(width, right))]
    patch = patch if patch.size else image
    return patch, np.median(patch.reshape(-1, 3), axis=0).astype(np.float32)


def hand(image: ImageU8, box: Box, rng: Rng) -> Layer:
    """One or two hands in this face's skin colour (see ``hands``)."""
    return hand_before(image, box, skin_bgr(image, box)[1], rng)


def _thick_line(cover: Floats, start: Points, end: Points, width: float, value: float) -> None:
    points = np.round(start).astype(int).tolist(), np.round(end).astype(int).tolist()
    cv2.line(cover, points[0], points[1], value, max(1, round(width)))


def _shade(layer: Floats, start: Points, end: Points, width: int, factor: float) -> None:
    gap = np.zeros(layer.shape[:2], np.float32)
    _thick_line(gap, start, end, width, 1.0)
    layer *= (1 - gap * np.float32(1 - factor))[:, :, None]


def cup(image: ImageU8, box: Box, rng: Rng) -> Layer:
    """A mug or paper cup at the mouth: a tapering shape with a rim and one light side."""
    size = max(box.width, box.height)
    layer = _coloured(image, rng)
    cover = np.zeros(image.shape[:2], np.float32)
    x = box.x + box.width * rng.uniform(0.3, 0.7)
    y = box.y + box.height * rng.uniform(0.6, 0.85)
    top, bottom, tall = size * rng.uniform(0.16, 0.3), size * rng.uniform(0.12, 0.24), size * rng.uniform(0.35, 0.7)
    corners = np.array([[x - top, y], [x + top, y], [x + bottom, y + tall], [x - bottom, y + tall]])
    corners = _turned(corners, (x, y), rng.uniform(-0.5, 0.5))
    cv2.fillPoly(cover, [np.round(corners).astype(np.int32)], 1.0)
    _shade(layer, corners[0], corners[1], max(1, round(size * 0.05)), rng.uniform(0.5, 1.4))
    _shade(layer, corners[0], corners[3], max(1, round(size * rng.uniform(0.05, 0.2))), rng.uniform(0.6, 1.3))
    return layer, cover


def thing(image: ImageU8, box: Box, rng: Rng) -> Layer:
    """A phone, a book's edge, a microphone, a dummy: a turned rectangle or an ellipse that hides part of the face."""
    size = max(box.width, box.height)
    layer = _coloured(image, rng)
    cover = np.zeros(image.shape[:2], np.float32)
    x = box.x + box.width * rng.uniform(0.1, 0.9)
    y = box.y + box.height * rng.uniform(0.55, 1.0)
    half = np.array([rng.uniform(0.06, 0.28), rng.uniform(0.06, 0.2)]) * size
    angle = rng.uniform(0, math.pi)
    if rng.random() < 0.5:
        axes = np.maximum(1, np.round(half)).astype(int).tolist()
        cv2.ellipse(cover, (round(x), round(y)), axes, math.degrees(angle), 0, 360, 1.0, -1)
    else:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + (x, y)
        cv2.fillPoly(cover, [np.round(_turned(corners, (x, y), angle)).astype(np.int32)], 1.0)
    return layer, cover


def _coloured(image: ImageU8, rng: Rng) -> Floats:
    """A picture of one colour with a slope of light and a little grain."""
    colour = rng.uniform(10, 245, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(10, 245))
    slope = np.linspace(rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.1), image.shape[1])[None, :, None]
    layer = np.broadcast_to(colour, image.shape) * slope + rng.normal(0, 3, image.shape)
    return layer.astype(np.float32)


def _turned(corners: Points, center: tuple[float, float], angle: float) -> Points:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned: Points = (corners - center) @ turn.T + center
    return turned
