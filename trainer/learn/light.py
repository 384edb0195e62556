"""Light on a face, of whatever camera: brightness and colour, from one side, from behind, too little of it.

All on (height, width, 3) uint8 BGR, from a seeded generator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, ImageU8

Rng = np.random.Generator
SILHOUETTE_PX = 48  # longest side at which a head's outline is drawn; it is blurred anyway


def relight(image: ImageU8, rng: Rng) -> ImageU8:
    """Brightness, contrast, gamma and a colour cast by one table per channel; at times light from one side."""
    levels = np.arange(256, dtype=np.float32) / 255
    table = np.clip(levels * math.exp(rng.normal(0, 0.18)), 0, 1) ** math.exp(rng.normal(0, 0.28))
    table = (table - 0.5) * math.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    cast = np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    lit = _by_table(image, table[:, None] * cast * 255)
    return side_light(lit, rng) if rng.random() < 0.25 else lit


def _by_table(image: ImageU8, table: npt.NDArray[Any]) -> ImageU8:
    """table: (256, 3) new value of each value, per channel."""
    tables = np.clip(table, 0, 255).astype(np.uint8)
    return cv2.LUT(image, tables.reshape(1, 256, 3)).astype(np.uint8, copy=False)


def side_light(image: ImageU8, rng: Rng) -> ImageU8:
    """A slope of light over the picture, from half to one and a half: a window beside the person."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    slope = x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle)
    light = 1 + np.float32(rng.uniform(0.1, 0.5)) * slope
    lit: ImageU8 = np.clip(image * light[:, :, None], 0, 255).astype(np.uint8)
    return lit


def backlight(image: ImageU8, box: Box, rng: Rng) -> ImageU8:
    """A glass door behind the person: head and shoulders dark, what is around them bright, a veil of light over all."""
    person = _silhouette(image.shape[:2], box, rng)[:, :, None]
    dark = _by_table(image, np.arange(256)[:, None] * np.full(3, rng.uniform(0.25, 0.65)))
    behind = 255 - (255 - image.astype(np.float32)) * np.float32(rng.uniform(0.05, 0.4))
    veil = np.float32(rng.uniform(0, 0.18))  # stray light in the lens lifts the dark
    lit = behind + person * (dark - behind)
    veiled: ImageU8 = np.clip(lit * (1 - veil) + 235 * veil, 0, 255).astype(np.uint8)
    return veiled


def _silhouette(shape: tuple[int, ...], box: Box, rng: Rng) -> npt.NDArray[np.float32]:
    """(height, width) 0-1: where head and shoulders are, with soft edges, drawn small and enlarged."""
    height, width = shape
    factor = SILHOUETTE_PX / max(shape)
    small = np.zeros((max(2, round(height * factor)), max(2, round(width * factor))), np.float32)
    x, y = (v * factor for v in box.center)
    wide, tall = box.width * factor * rng.uniform(0.58, 0.72), box.height * factor * rng.uniform(0.62, 0.78)
    cv2.ellipse(small, (round(x), round(y)), (max(1, round(wide)), max(1, round(tall))), 0, 0, 360, 1.0, -1)
    neck = y + tall * 0.75
    body = [
        (x - wide * 0.6, neck),
        (x + wide * 0.6, neck),
        (x + wide * 2.2, neck + tall),
        (x - wide * 2.2, neck + tall),
    ]
    cv2.fillPoly(small, [np.round(body).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.6, 0.06 * max(wide, tall)))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def low_light(image: ImageU8, rng: Rng) -> ImageU8:
    """An unlit entrance: little light, grain that grows as the camera turns its gain up, colours that fade."""
    left = rng.uniform(0.1, 0.35)  # of the light
    gain = rng.uniform(1.0, 0.75 / left)  # what the camera makes up for; 1 leaves the picture dark
    shot = np.sqrt(np.maximum(image, 1) * np.float32(left)) * np.float32(rng.uniform(0.15, 0.5))
    seen = image * np.float32(left) + rng.standard_normal(image.shape, dtype=np.float32) * (shot + 0.7)
    dim = np.clip(seen * np.float32(gain), 0, 255).astype(np.uint8)
    return _faded(dim, float(rng.uniform(0.35, 1.0)))


def grey(image: ImageU8, rng: Rng) -> ImageU8:
    """Less colour down to none, as infrared light at night gives."""
    return _faded(image, 0.0 if rng.random() < 0.7 else float(rng.uniform(0, 0.5)))


def _faded(image: ImageU8, keep: float) -> ImageU8:
    """keep: share of the colour that stays, 0-1."""
    mono = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, keep, mono, 1 - keep, 0).astype(np.uint8, copy=False)
