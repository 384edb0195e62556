"""The pictures of a prepared set, and the crops that the device would make of its faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import ImageU8
from trainer.faces.manifest import FaceRow


def read_context(folder: Path, row: FaceRow) -> ImageU8:
    """A face's context picture, (height, width, 3) uint8 BGR. Raises DataError where it is gone or broken."""
    image = cv2.imread(str(folder / row.path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{folder / row.path} is missing or broken: prepare the set again")
    return image.astype(np.uint8, copy=False)


def plain_crops(folder: Path, rows: Sequence[FaceRow], margin: float, size_px: int) -> ImageU8:
    """The crops that the device would make of these faces: (n, size_px, size_px, 3) uint8 RGB."""
    return np.stack([crop_face(read_context(folder, row), row.box, margin, size_px) for row in rows])
