"""The one path from a face in a frame to the classifier's input; ``edge`` and ``trainer`` both use it and no other.

The normalisation (RGB scaled to -1..1, as Keras' MobileNetV2 was trained) is not done here: an exported model takes
uint8 RGB and holds scale and zero point in its input tensor.
"""

from __future__ import annotations

import numpy as np

from edge.opencv import cv2
from edge.records import Box, ImageU8


def square(box: Box, margin: float) -> tuple[int, int, int]:
    """The square that is cut out around a face: left, top, side in whole pixels.

    margin: share of the box's longer side that is added on every side. Raises ValueError where the box has no area.
    """
    longer = max(box.width, box.height)
    if box.shorter_px <= 0:
        raise ValueError(f"box has no area: {box}")
    side = max(1, round(longer * (1 + 2 * margin)))
    center_x, center_y = box.center
    return round(center_x - side / 2), round(center_y - side / 2), side


def cut(image: ImageU8, left: int, top: int, side: int) -> ImageU8:
    """Cut a square out of an image, repeating the border where the square leaves it.

    image: (height, width, 3) uint8. Returns (side, side, 3) uint8. The square must touch the image.
    """
    height, width = image.shape[:2]
    if not (-side < left < width and -side < top < height):
        raise ValueError(f"square at {left},{top} of side {side} lies outside the {width}x{height} picture")
    over = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    inside = image[max(0, top) : min(height, top + side), max(0, left) : min(width, left + side)]
    if not any(over):
        return inside
    padded: ImageU8 = cv2.copyMakeBorder(inside, *over, borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
    return padded


def crop_face(image_bgr: ImageU8, box: Box, margin: float, size_px: int) -> ImageU8:
    """Cut a face with its margin, as the classifier wants it.

    image_bgr: (height, width, 3) uint8. box: pixels of ``image_bgr``; it must touch the image.
    margin: share of the longer side added on every side; each model's bundle names its own.
    Returns (size_px, size_px, 3) uint8 RGB: averaged when shrunk, bilinear when enlarged, so that a small face looks
    soft as it does to a camera and a large one brings no false edges.
    """
    patch = cut(image_bgr, *square(box, margin))
    method = cv2.INTER_AREA if patch.shape[0] > size_px else cv2.INTER_LINEAR
    resized = cv2.resize(patch, (size_px, size_px), interpolation=method)
    rgb: ImageU8 = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb
