"""Small things that every picture-making module of the demo needs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.records import ImageU8

F32 = npt.NDArray[np.float32]
Points = tuple[tuple[float, float], ...]


def f32(values: Any) -> F32:
    """Anything numeric as float32; no copy where it is that already."""
    array: F32 = np.asarray(values, np.float32)
    return array


def u8(values: Any) -> ImageU8:
    """Values of 0-255, rounded and bounded, as uint8."""
    array: ImageU8 = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return array


def grey(bgr: F32) -> F32:
    """Luma by BT.601. bgr: (height, width, 3); returns (height, width) of the same range."""
    return f32(bgr @ f32((0.114, 0.587, 0.299)))


def polygon(shape: tuple[int, ...], points: F32, value: int = 255) -> ImageU8:
    """A filled polygon, edges smoothed to a sixteenth of a pixel. Returns (height, width) uint8."""
    canvas = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], (value,), cv2.LINE_AA, 4)
    return canvas
