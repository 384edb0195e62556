"""From a labelled photo to a face with some air: found with the device's detector, cut for training and hashing.

A context picture keeps half a box of air on every side, so that training can move, turn and scale the box before it
cuts with ``edge.preprocess.crop_face``. Pixels are read with the device's own reader.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edge.detect import Detector
from edge.errors import DataError, DiskError, InputMissing, Refused
from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import Box, Face, ImageU8
from edge.sources.images import read_image
from trainer.faces.fingerprints import Fingerprint, fingerprint, picture_hashes
from trainer.faces.manifest import TRAIN, FaceRow
from trainer.faces.photos import Dropped, Photo, drop
from trainer.faces.published import Header, read_header
from trainer.faces.tables import BAD_BOX

AIR: Final = 0.6  # share of the longer side kept around a face: the crop's margin plus room for jitter and rotation
CONTEXT_PX: Final = 224  # longest side of a context picture; faces in it are then about 100 px, more than a crop needs
JPEG_QUALITY: Final = 95
MIN_FACE_PX: Final = 18
LONGEST_BOX: Final = 4  # shorter sides of the picture; at most 1.7 in the training sets. Memory grows by its square
SAME_FACE_IOU: Final = 0.3
SIMILAR_AREA: Final = 0.5
SQUEEZED_PX: Final = 96


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo that could be read. pixels: (height, width, 3) uint8 BGR, upright. sha256: of the file's bytes."""

    pixels: ImageU8
    sha256: str
    header: Header


@dataclass(frozen=True, slots=True)
class CutFace:
    row: FaceRow
    fingerprint: Fingerprint


def read_picture(path: Path) -> Picture:
    """Read one photo as the device does. Raises DataError, whose text is the reason to drop it.

    Grey, alpha, 16 bits, CMYK and palettes become BGR. A film is refused: nobody knows which frame the label is of.
    """
    try:
        pixels = read_image(path)
        data = path.read_bytes()
    except (InputMissing, Refused) as error:
        raise DataError("no such file" if isinstance(error, InputMissing) else "may not be read") from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    header = read_header(data)
    if header.is_animated:
        raise DataError("animated: save the frame that is meant as a picture")
    if min(pixels.shape[:2]) < MIN_FACE_PX:
        raise DataError(f"picture too small: {pixels.shape[1]}x{pixels.shape[0]} px")
    return Picture(pixels, hashlib.sha256(data).hexdigest(), header)


def reason_and_detail(error: str) -> tuple[str, str]:
    """A reader's message as a phrase to count by, and what goes with it: numbers differ from file to file."""
    reason, _, detail = error.removeprefix("not an image: ").partition(":")
    first = re.split(r" after |, ", reason)[0]
    known = ("truncated", "too large", "animated", "picture too small", "no such file", "may not be read")
    return (first, (detail or reason.removeprefix(first)).strip(" ,")) if first in known else ("not an image", error)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0-1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a.width * a.height + b.width * b.height - width * height)


def choose_face(faces: Sequence[Face], given: Box | None) -> Face | None:
    """The detector's face that is meant: the one over the given box, else the largest; None where there is none.

    The device sees detector boxes, so they are preferred to a publisher's.
    """
    if given is None:
        return faces[0] if faces else None
    best = max(faces, key=lambda f: overlap(f.box, given), default=None)
    return best if best and overlap(best.box, given) >= SAME_FACE_IOU else None


def are_two(faces: Sequence[Face]) -> bool:
    """True where nobody can say which face a whole picture's label is of.

    faces: largest first. Two are alike where the second has at least half the area of the first. In the five training
    sets of whole pictures 145 of 2,744 with a face have two such. Of the 35 where it is 50 to 70% about 4 would carry
    the wrong label if the largest were taken, many more than these sets have otherwise; below that one face is clearly
    the largest, and is taken.
    """
    if len(faces) < 2 or faces[1].box.shorter_px < MIN_FACE_PX:
        return False
    first, second = (f.box.width * f.box.height for f in faces[:2])
    return second >= SIMILAR_AREA * first


def why_dropped(photo: Photo, faces: Sequence[Face], face: Face | None, pixels: ImageU8) -> str | None:
    """The reason why a labelled photo gives no row, or None."""
    height, width = pixels.shape[:2]
    for box in (photo.box, face.box if face else None):
        if box and not (0 <= box.center[0] < width and 0 <= box.center[1] < height):
            return "box outside the picture"
    if photo.box and max(photo.box.width, photo.box.height) > LONGEST_BOX * min(width, height):
        return BAD_BOX
    if photo.box is None and are_two(faces):
        return "two faces where one was promised"
    meant = face.box if face else photo.box
    if meant is None:
        return "no face found"
    return "face too small" if meant.shorter_px < MIN_FACE_PX else None


def context(image_bgr: ImageU8, box: Box) -> tuple[ImageU8, float, float, float]:
    """Cut a face with its air, at most ``CONTEXT_PX`` long. Returns picture, left, top, factor.

    A point of the photo lies at ``(point - (left, top)) * factor`` in the picture.
    """
    height, width = image_bgr.shape[:2]
    reach = max(box.width, box.height) * (0.5 + AIR)
    (center_x, center_y) = box.center
    left, top = max(0, round(center_x - reach)), max(0, round(center_y - reach))
    right, bottom = min(width, round(center_x + reach)), min(height, round(center_y + reach))
    patch = image_bgr[top:bottom, left:right]
    factor = min(1.0, CONTEXT_PX / max(patch.shape[:2]))
    if factor < 1:
        fx, fy = (max(factor, 1 / px) for px in (patch.shape[1], patch.shape[0]))  # a pixel at least
        patch = cv2.resize(patch, None, fx=fx, fy=fy, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return patch, left, top, factor


def sharpness(image_bgr: ImageU8, box: Box) -> float:
    """Standard deviation of the Laplacian of the upper half of a face, squeezed to 96 px; grey levels.

    The upper half, because a mask covers the lower one and is smooth by right.
    """
    grey = cv2.cvtColor(crop_face(image_bgr, box, 0.1, SQUEEZED_PX), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey[: SQUEEZED_PX // 2], cv2.CV_32F).std())


def cut_face(picture: Picture, photo: Photo, face: Face | None, name: str) -> tuple[FaceRow, ImageU8]:
    """One row and its context picture, from the detector's face or else the given box."""
    box = face.box if face else photo.box
    assert box is not None  # the caller dropped photos with neither
    pixels, header = picture.pixels, picture.header
    patch, left, top, factor = context(pixels, box)
    points = [((x - left) * factor, (y - top) * factor) for x, y in (face.landmarks if face else ())]
    row = FaceRow(
        path=name,
        label=photo.label,
        source=photo.source,
        group=photo.group,
        split=TRAIN,
        x=(box.x - left) * factor,
        y=(box.y - top) * factor,
        width=box.width * factor,
        height=box.height * factor,
        found_by="detector" if face else "given",
        shorter_px=box.shorter_px,
        landmarks=" ".join(f"{v:.1f}" for point in points for v in point),
        sha256=picture.sha256,
        phash="",
        flags=photo.flags,
        origin=photo.origin,
        photo_width=pixels.shape[1],
        photo_height=pixels.shape[0],
        file_type=header.file_type,
        mode=header.mode,
        jpeg_quality=header.jpeg_quality,
        sharpness=round(sharpness(pixels, box), 1),
        published=photo.published,
    )
    return row, patch


class Cutter:
    """Cuts photo after photo into a folder; remembers what was kept and what was dropped.

    out: folder of the prepared set; context pictures go to ``out/SOURCE/``.
    """

    def __init__(self, detector: Detector, out: Path) -> None:
        self._detector = detector
        self._out = out
        self.kept: list[CutFace] = []
        self.dropped: list[Dropped] = []

    def cut(self, photos: Sequence[Photo]) -> None:
        """All labelled faces of one picture; ``photos`` name the same file."""
        try:
            picture = read_picture(photos[0].path)
        except DataError as error:
            self.dropped += [drop(p, *reason_and_detail(str(error))) for p in photos]
            return
        faces = self._detector.find(picture.pixels)
        whole = picture_hashes(picture.pixels)
        for photo in photos:
            face = choose_face(faces, photo.box)
            reason = why_dropped(photo, faces, face, picture.pixels)
            if reason:
                self.dropped.append(drop(photo, reason))
                continue
            box = face.box if face else photo.box
            assert box is not None  # or there was a reason
            try:
                row, patch = cut_face(picture, photo, face, f"{photo.source}/{len(self.kept):06d}.jpg")
                print_ = fingerprint(picture.pixels, box, whole)
            except (cv2.error, ValueError) as error:  # one face must not cost all the others
                self.dropped.append(drop(photo, "cannot be cut", " ".join(str(error).split())))
                continue
            save(self._out / row.path, patch)
            self.kept.append(CutFace(replace(row, phash=f"{print_.face:016x}"), print_))


def cut_photos(
    photos: Iterable[Photo], detector: Detector, out: Path, tick: Callable[[], None]
) -> tuple[list[CutFace], list[Dropped]]:
    """Find and cut the face of every labelled photo; ``tick`` is called once per picture."""
    by_path: dict[Path, list[Photo]] = {}
    for photo in photos:
        by_path.setdefault(photo.path, []).append(photo)
    cutter = Cutter(detector, out)
    for own in by_path.values():
        cutter.cut(own)
        tick()
    return cutter.kept, cutter.dropped


def save(path: Path, picture: ImageU8) -> None:
    """Write a picture as JPEG. Raises DiskError."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}: make room, or choose another --out") from error
