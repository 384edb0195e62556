"""What a person looks like apart from the face: a few numbers for the colours of hair and chest, kept while in view.

They tell the next in a queue from one who comes back. They leave out the face, where a mask goes on or off, say nothing
of who somebody is, and never leave the process.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, ImageU8

Appearance = npt.NDArray[np.float32]

# Patches in shares of the face's box (left, top, right, bottom; 0,0 its top left corner), each cut into 3 x 2 cells.
HAIR: Final = (0.0, -0.35, 1.0, 0.10)
CHEST: Final = (-0.2, 1.20, 1.2, 1.90)
COLUMNS: Final = 3
ROWS: Final = 2
MIN_CELLS: Final = 4
MEMORY: Final = 0.2  # weight of a new look
LIGHTNESS_WEIGHT: Final = 0.6  # a step towards the lamp changes lightness more than colour


def appearance(image_bgr: ImageU8, box: Box) -> Appearance:
    """(12, 3) float32: L, a, b of six cells of hair and six of chest; NaN for cells outside of the frame."""
    cells = [cell for patch in (HAIR, CHEST) for cell in patch_cells(image_bgr, box, patch)]
    return np.array(cells, np.float32)


def patch_cells(image_bgr: ImageU8, box: Box, patch: tuple[float, float, float, float]) -> list[list[float]]:
    """Mean colours of a patch's cells, row by row."""
    left, top, right, bottom = patch
    xs = np.linspace(box.x + left * box.width, box.x + right * box.width, COLUMNS + 1)
    ys = np.linspace(box.y + top * box.height, box.y + bottom * box.height, ROWS + 1)
    return [cell(image_bgr, xs[c], ys[r], xs[c + 1], ys[r + 1]) for r in range(ROWS) for c in range(COLUMNS)]


def cell(image_bgr: ImageU8, left: float, top: float, right: float, bottom: float) -> list[float]:
    """Mean L (0-100), a, b of one cell; NaN where less than half of it is in the frame."""
    height, width = image_bgr.shape[:2]
    x0, x1 = max(0, round(left)), min(width, round(right))
    y0, y1 = max(0, round(top)), min(height, round(bottom))
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) < 0.5 * (right - left) * (bottom - top):
        return [np.nan] * 3
    mean_bgr = np.array(cv2.mean(image_bgr[y0:y1, x0:x1])[:3], np.float32).reshape(1, 1, 3) / 255
    lab: list[float] = cv2.cvtColor(mean_bgr, cv2.COLOR_BGR2Lab)[0, 0].tolist()
    return lab


def difference(one: Appearance | None, other: Appearance | None) -> float | None:
    """Mean distance of the cells that both have, in Lab (about 2 is just seen); None where there are too few."""
    if one is None or other is None:
        return None
    both = ~(np.isnan(one[:, 0]) | np.isnan(other[:, 0]))
    if both.sum() < MIN_CELLS:
        return None
    step = (one[both] - other[both]) * np.array([LIGHTNESS_WEIGHT, 1.0, 1.0], np.float32)
    return float(np.sqrt((step**2).sum(axis=1)).mean())


def blend(kept: Appearance | None, new: Appearance | None) -> Appearance | None:
    """The memory of a person's colours after one more look: slow to change, and whole where one look was cut off."""
    if kept is None or new is None:
        return new if kept is None else kept
    mixed = np.where(np.isnan(kept), new, kept + MEMORY * (new - kept))
    blended: Appearance = np.where(np.isnan(new), kept, mixed).astype(np.float32)
    return blended
