"""The README's picture: four moments of the demo's clip, each person with what was known by then.

python -m demo.make_picture        writes docs/demo.jpg
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.annotate import draw_face
from edge.assemble import RUN_MIN_FACE_PX, open_classifier, open_detector
from edge.config import Config
from edge.decide import Decider
from edge.pipeline import Pipeline
from edge.records import Box, Face, ImageU8, Sighting
from edge.sources import open_source
from edge.track import Tracked, Tracker

ROOT: Final = Path(__file__).resolve().parent.parent
MOMENTS_S: Final = (2.6, 5.6, 9.5, 17.6)
GAP_PX: Final = 6


class Watched(Tracker):
    """A tracker that remembers who was seen in the last frame, for the drawing."""

    seen: tuple[Sighting, ...] = ()

    def update(self, t_s: float, faces: Sequence[Face]) -> Tracked:
        tracked = super().update(t_s, faces)
        self.seen = tracked.sightings
        return tracked


def moments(clip: Path) -> list[ImageU8]:
    """The clip's frames at MOMENTS_S, with every person's number and label so far."""
    config = Config()
    detector = open_detector(config)
    tracker = Watched(config.track.return_s, detector.sure_score)
    pipeline = Pipeline(detector, tracker, open_classifier(config), Decider(), RUN_MIN_FACE_PX)
    labels: dict[int, str] = {}
    pictures: list[ImageU8] = []
    with open_source(str(clip), pace="max") as source:
        while (frame := source.read(10.0)) is not None and len(pictures) < len(MOMENTS_S):
            labels |= {told.verdict.person: told.verdict.label for told in pipeline.process(frame)}
            if frame.t_s >= MOMENTS_S[len(pictures)]:
                pictures.append(drawn(frame.image_bgr, tracker.seen, labels))
    return pictures


def drawn(image_bgr: ImageU8, seen: tuple[Sighting, ...], labels: dict[int, str]) -> ImageU8:
    picture = image_bgr.copy()
    for sighting in seen:
        label = labels.get(sighting.person, "looking")
        draw_face(picture, Box(*sighting.face.box), label, f"person {sighting.person}: {label.replace('_', ' ')}")
    return picture


def grid(pictures: list[ImageU8]) -> ImageU8:
    """Two by two, with white between them."""
    height, width = pictures[0].shape[:2]
    sheet: ImageU8 = np.full((2 * height + GAP_PX, 2 * width + GAP_PX, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // 2) * (height + GAP_PX), (index % 2) * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def main() -> None:
    sheet = grid(moments(ROOT / "demo" / "door.mp4"))
    half = cv2.resize(sheet, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(ROOT / "docs" / "demo.jpg"), half, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
