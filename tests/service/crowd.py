"""Ten thousand events in minutes: seventy people in front of one camera who keep taking their masks off and on.

Two pictures in turn, four times each; in the one, whoever wears a mask in the other is bare. Judged by the shipped
models like anybody else, they make seventy ``changed`` with every turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from edge.opencv import cv2
from edge.records import ImageU8
from edge.sources import read_image
from tests.service.rootfs import ROOT

COLUMNS: Final = 10
ROWS: Final = 7
SIDE_PX: Final = 128  # of a person's picture, and half of that a face
STAY: Final = 4  # frames; so many looks it takes to believe a change (edge.decide)
FRAMES: Final = 8000  # more than any test waits for


def paint_crowd(folder: Path) -> None:
    """A folder of pictures, two files by many names."""
    folder.mkdir()
    masked, bare = (portrait(ROOT / "tests/data" / f"portrait_{name}.jpg") for name in ("mask", "bare"))
    for name, odd, even in (("one", masked, bare), ("other", bare, masked)):
        rows = [[odd if (row + column) % 2 else even for column in range(COLUMNS)] for row in range(ROWS)]
        cv2.imwrite(str(folder / f".{name}.png"), np.vstack([np.hstack(row) for row in rows]))
    for index in range(FRAMES):
        (folder / f"{index}.png").symlink_to(".one.png" if index // STAY % 2 else ".other.png")


def portrait(path: Path) -> ImageU8:
    """(SIDE_PX, SIDE_PX, 3)."""
    image = read_image(path)
    side = min(image.shape[:2])
    left = (image.shape[1] - side) // 2
    square = image[:side, left : left + side]
    return cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
