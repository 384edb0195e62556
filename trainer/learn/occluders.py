"""What hides a lower face and is no mask: hands, cups, flat things, over (height, width, 3) uint8 BGR pictures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, ImageU8
from trainer.learn.hands import hand_before

Rng = np.random.Generator
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


def occlude(image: ImageU8, box: Box, rng: Rng) -> ImageU8:
    """Something before the lower face that is no mask: a hand in the colour of this skin, a cup, a flat object."""
    draw = (hand, hand, hand, hand, cup, thing)[int(rng.integers(6))]
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
