"""The picture of a decision, where somebody switched that on: the best look at a person, held until they are decided.

Pixels are in memory only: one small crop a person, gone with the decision. Nothing here writes or sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edge.opencv import cv2
from edge.preprocess import square
from edge.records import Box, ImageU8

MARGIN: Final = 0.3  # share of the face's longer side around it: enough to see whose door it was, not the street
MAX_SIDE_PX: Final = 256
JPEG_QUALITY: Final = 85


@dataclass(slots=True)
class _Best:
    worth: tuple[float, float]
    face_bgr: ImageU8


@dataclass(slots=True)
class BestLooks:
    """At most one crop a person, (up to 256, up to 256, 3) uint8; none of those who have been taken."""

    _best: dict[int, _Best] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=set)

    @property
    def held(self) -> int:
        """Crops in memory."""
        return len(self._best)

    def offer(self, person: int, image_bgr: ImageU8, box: Box, quality: float) -> None:
        """A look at a person who counts. quality: 0-1; between equal ones the larger face is the better look."""
        worth = quality, box.shorter_px
        held = self._best.get(person)
        if person not in self._taken and (held is None or worth > held.worth):
            self._best[person] = _Best(worth, small_crop(image_bgr, box))

    def take(self, person: int) -> ImageU8 | None:
        """The best look, handed over: it is not held any longer, nor is any other of this person."""
        self._taken.add(person)
        best = self._best.pop(person, None)
        return None if best is None or not best.face_bgr.size else best.face_bgr

    def forget(self, person: int) -> None:
        """The person is gone."""
        self._best.pop(person, None)
        self._taken.discard(person)


def small_crop(image_bgr: ImageU8, box: Box) -> ImageU8:
    """The face with a margin, as far as it lies in the picture, its longer side at most 256 px; a copy."""
    height, width = image_bgr.shape[:2]
    left, top, side = square(box, MARGIN)
    crop = image_bgr[max(0, top) : min(height, top + side), max(0, left) : min(width, left + side)]
    longer = max(crop.shape[:2])
    if not crop.size or longer <= MAX_SIDE_PX:
        return crop.copy()
    scale = MAX_SIDE_PX / longer
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    small: ImageU8 = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return small


def as_jpeg(face_bgr: ImageU8) -> bytes:
    """Without any metadata."""
    done, jpeg = cv2.imencode(".jpg", face_bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    if not done:
        raise ValueError(f"no JPEG can be made of {face_bgr.shape}")
    return jpeg.tobytes()
