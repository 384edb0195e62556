"""How far a look at a face can be trusted, from its place in the frame, its pose and its sharpness.

Each factor is 1 for a good face; a look's quality is their product. Looks of quality 0 never vote. A face that is cut
off or blurred falls to 0, one in profile to a fifth: there a mask can still be told, only less surely.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edge.opencv import cv2
from edge.preprocess import cut, square
from edge.records import Face, ImageU8

MIN_INSIDE: Final = 0.7  # share of the box within the frame; half a face at the border says little
GOOD_INSIDE: Final = 0.95
GOOD_TURN: Final = 0.45  # nose off the eyes' middle, in distances between the eyes; about 30 degrees
MAX_TURN: Final = 1.1  # profile
SHARPNESS_PX: Final = 48  # sharpness is measured at one size, so that near faces are not called sharper
MIN_SHARPNESS: Final = 0.004
GOOD_SHARPNESS: Final = 0.02


def quality(image_bgr: ImageU8, face: Face) -> float:
    """0-1 for one face of a frame, (height, width, 3) uint8. Faces too small to count are left out before."""
    height, width = image_bgr.shape[:2]
    factors = (
        ramp(inside_share(face, width, height), MIN_INSIDE, GOOD_INSIDE),
        1 - 0.8 * ramp(turn(face), GOOD_TURN, MAX_TURN),
    )
    pose = math.prod(factors)
    return pose * ramp(sharpness(image_bgr, face), MIN_SHARPNESS, GOOD_SHARPNESS) if pose > 0 else 0.0


def ramp(value: float, zero_at: float, one_at: float) -> float:
    """0 up to ``zero_at``, 1 from ``one_at`` on, straight between."""
    return min(1.0, max(0.0, (value - zero_at) / (one_at - zero_at)))


def inside_share(face: Face, width: int, height: int) -> float:
    """Share of the face's box that lies within the frame, 0-1."""
    box = face.box
    across = min(box.x + box.width, width) - max(box.x, 0.0)
    down = min(box.y + box.height, height) - max(box.y, 0.0)
    return max(0.0, across) * max(0.0, down) / (box.width * box.height)


def turn(face: Face) -> float:
    """How far the head is turned aside: the nose's distance from the middle between the eyes, along the line of the
    eyes, in distances between the eyes. 0 frontal, about 0.5 at 30 degrees, beyond 1 in profile."""
    if len(face.landmarks) < 3:
        return 0.0
    (right_x, right_y), (left_x, left_y), (nose_x, nose_y) = face.landmarks[:3]
    along_x, along_y = left_x - right_x, left_y - right_y
    squared = along_x**2 + along_y**2
    if squared < 1.0:
        return MAX_TURN
    offset_x, offset_y = nose_x - (right_x + left_x) / 2, nose_y - (right_y + left_y) / 2
    return abs(offset_x * along_x + offset_y * along_y) / squared


def sharpness(image_bgr: ImageU8, face: Face) -> float:
    """Energy of the Laplacian over that of the picture, of the face at 48 pixels: 0 for one flat or smeared tone."""
    patch = cut(image_bgr, *square(face.box, 0.0))
    method = cv2.INTER_AREA if patch.shape[0] > SHARPNESS_PX else cv2.INTER_LINEAR
    grey = cv2.cvtColor(cv2.resize(patch, (SHARPNESS_PX, SHARPNESS_PX), interpolation=method), cv2.COLOR_BGR2GRAY)
    values = grey.astype(np.float32)
    return float(cv2.Laplacian(values, cv2.CV_32F).var() / (16 * values.var() + 16.0))
