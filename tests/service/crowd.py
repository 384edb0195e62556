"""Ten thousand events in minutes: seventy people before one camera who keep taking their masks off and on.

Two pictures in turn, four times each; who is green in the one is red in the other. The tests' small model, to which
green is a mask and red is none, stands in for the shipped one: of interest here is what becomes of events. All else is
the daemon as it is, so that every turn makes seventy ``changed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from edge.opencv import cv2
from edge.records import ImageU8
from edge.sources import read_image
from tests.edge.bundles import make_bundle
from tests.service.rootfs import ROOT

COLUMNS: Final = 10
ROWS: Final = 7
SIDE_PX: Final = 128  # of a person's picture, and half of that a face
STAY: Final = 4  # frames; so many looks it takes to believe a change (edge.decide)
CHANGE_S: Final = 0.3
FRAMES: Final = 8000  # more than any test waits for
GREEN_BGR: Final = (0.3, 1.0, 0.3)
RED_BGR: Final = (0.3, 0.3, 1.0)


def make_crowd(folder: Path) -> None:
    """``people``, pictures of which there are two files by many names, and ``bundle``, the model that judges them."""
    people = folder / "people"
    people.mkdir(parents=True)
    portrait = square(read_image(ROOT / "tests/data/portrait_bare.jpg"))
    green, red = ((portrait * np.array(tint)).astype(np.uint8) for tint in (GREEN_BGR, RED_BGR))
    for name, odd, even in (("one", green, red), ("other", red, green)):
        rows = [[odd if (row + column) % 2 else even for column in range(COLUMNS)] for row in range(ROWS)]
        cv2.imwrite(str(people / f".{name}.png"), np.vstack([np.hstack(row) for row in rows]))
    for index in range(FRAMES):
        (people / f"{index}.png").symlink_to(".one.png" if index // STAY % 2 else ".other.png")
    make_bundle(folder / "bundle", calibration={"temperature": 1.0, "bias": [0.0, 0.0, 0.0]})


def square(image: ImageU8) -> ImageU8:
    """The top of a portrait, (SIDE_PX, SIDE_PX, 3)."""
    side = min(image.shape[:2])
    size = SIDE_PX, SIDE_PX
    return cv2.resize(image[:side, :side], size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
