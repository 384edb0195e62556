"""From folders of labelled photos to a prepared set: faces found with the device's detector, each with some air.

A context picture keeps half a box of air on every side, so that training can move, turn and scale the box before it
cuts with ``edge.preprocess.crop_face``. What is dropped is counted by reason; a broken photo never ends a run.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.detect import Detector
from edge.errors import DataError, DiskError, InputMissing
from edge.opencv import cv2
from edge.records import Box, Face, ImageU8
from trainer.faces.manifest import SPELLINGS, TRAIN, FaceRow, write_manifest
from trainer.faces.split import hold_out, join_near_duplicates

AIR: Final = 0.6  # share of the longer side kept around a face: the crop's margin plus room for jitter and rotation
CONTEXT_PX: Final = 224  # longest side of a context picture; faces in it are then about 100 px, more than a crop needs
JPEG_QUALITY: Final = 95
MIN_FACE_PX: Final = 18
SAME_FACE_IOU: Final = 0.3
NEAR_BITS: Final = 4  # of 64; at 6 different people in the same pose and light begin to match
PHOTO_TYPES: Final = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))


@dataclass(frozen=True, slots=True)
class Photo:
    """A labelled face of a photo as published; ``box`` is None where the whole picture carries the label."""

    path: Path
    source: str
    label: str
    group: str
    box: Box | None
    flags: str

    @property
    def origin(self) -> str:
        return f"{self.source}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class Cutting:
    """What became of a folder: the rows kept, and how many photos or faces were dropped, by (source, reason)."""

    rows: list[FaceRow]
    dropped: Counter[tuple[str, str]]


def read_sources(folders: Sequence[Path]) -> list[Photo]:
    """Labelled photos of each folder: by its ``labels.csv``, else by sub-folders named after labels."""
    photos = []
    for folder in folders:
        if not folder.is_dir():
            raise InputMissing(f"no folder {folder}: name folders with a labels.csv or with mask/ and no_mask/")
        found = list(_from_csv(folder) if (folder / "labels.csv").is_file() else _from_folders(folder))
        if not found:
            raise DataError(f"{folder} holds no labelled photo: it needs a labels.csv, or folders mask/ and no_mask/")
        photos += found
    return photos


def _from_csv(folder: Path) -> Iterator[Photo]:
    with (folder / "labels.csv").open(newline="") as f:
        reader = csv.DictReader(f)
        if not {"path", "label"} <= set(reader.fieldnames or ()):
            raise DataError(f"{folder / 'labels.csv'} needs the columns path and label")
        for row in reader:
            label = SPELLINGS.get(row["label"].lower(), row["label"])
            group = f"{folder.name}:{row.get('group') or row['path']}"
            yield Photo(folder / row["path"], folder.name, label, group, _box(row), row.get("flags") or "")


def _box(row: Mapping[str, str]) -> Box | None:
    numbers = [row.get(k) for k in ("x", "y", "w", "h")]
    try:
        box = Box(*(float(n) for n in numbers if n))
    except (TypeError, ValueError):
        return None
    return box if box.shorter_px > 0 else None


def _from_folders(folder: Path) -> Iterator[Photo]:
    for path in sorted(folder.rglob("*")):
        label = SPELLINGS.get(path.parent.name.lower())
        if label and path.suffix.lower() in PHOTO_TYPES:
            yield Photo(path, folder.name, label, f"{folder.name}:{path.relative_to(folder)}", None, "")


def join_people(photos: Sequence[Photo], same_people: Sequence[tuple[str, str]]) -> list[Photo]:
    """Groups of sources that number the same people alike become one; ``same_people`` pairs their names."""
    stands_for = {other: first for first, other in same_people}
    joined = []
    for p in photos:
        source, _, name = p.group.partition(":")
        joined.append(Photo(p.path, p.source, p.label, f"{stands_for.get(source, source)}:{name}", p.box, p.flags))
    return joined


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
        patch = cv2.resize(patch, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return patch, left, top, factor


def face_hash(image_bgr: ImageU8, box: Box) -> str:
    """Perceptual hash of the face itself, 16 hex digits: copies are cut out differently, faces stay."""
    import imagehash
    from PIL import Image

    from edge.preprocess import crop_face

    return str(imagehash.phash(Image.fromarray(crop_face(image_bgr, box, 0.1, 64))))


def read_image(path: Path) -> tuple[ImageU8 | None, str]:
    """A photo upright as (height, width, 3) uint8 BGR, and the SHA-256 of its bytes; None where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None, ""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        image = None
    return (None if image is None else image.astype(np.uint8, copy=False)), hashlib.sha256(data).hexdigest()


def cut_face(image_bgr: ImageU8, digest: str, photo: Photo, face: Face | None, name: str) -> tuple[FaceRow, ImageU8]:
    """One row and its context picture, from the detector's face or else the given box."""
    box = face.box if face else photo.box
    assert box is not None  # the caller dropped photos with neither
    picture, left, top, factor = context(image_bgr, box)
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
        sha256=digest,
        phash=face_hash(image_bgr, box),
        flags=photo.flags,
        origin=photo.origin,
    )
    return row, picture


def cut_faces(photos: Sequence[Photo], detector: Detector, out: Path, tick: Callable[[], None]) -> Cutting:
    """Find and cut the face of every labelled photo; ``tick`` is called once per picture."""
    by_path: dict[Path, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_path[photo.path].append(photo)
    rows: list[FaceRow] = []
    dropped: Counter[tuple[str, str]] = Counter()
    for path, own in by_path.items():
        tick()
        image, digest = read_image(path)
        if image is None or min(image.shape[:2]) < MIN_FACE_PX:
            dropped[own[0].source, "cannot be read" if image is None else "too small"] += len(own)
            continue
        faces = detector.find(image)
        for photo in own:
            face = choose_face(faces, photo.box)
            reason = why_dropped(photo, face, image)
            if reason:
                dropped[photo.source, reason] += 1
                continue
            name = f"{photo.source}/{len(rows):06d}.jpg"
            row, picture = cut_face(image, digest, photo, face, name)
            _save(out / name, picture)
            rows.append(row)
    return Cutting(rows, dropped)


def why_dropped(photo: Photo, face: Face | None, image_bgr: ImageU8) -> str | None:
    """The reason why a labelled photo gives no row, or None."""
    box = face.box if face else photo.box
    if photo.label not in SPELLINGS.values():
        return f"label {photo.label!r} is not known"
    if box is None:
        return "no face found"
    if box.shorter_px < MIN_FACE_PX:
        return "face too small"
    center_x, center_y = box.center
    inside = 0 <= center_x < image_bgr.shape[1] and 0 <= center_y < image_bgr.shape[0]
    return None if inside else "box outside the picture"


def _save(path: Path, picture: ImageU8) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}") from error


def drop_copies(cutting: Cutting) -> Cutting:
    """Of faces with the same photo bytes and box only the first stays; differing labels drop them all."""
    kept: list[FaceRow] = []
    dropped = cutting.dropped.copy()
    by_face: dict[tuple[str, int, int], list[FaceRow]] = defaultdict(list)
    for row in cutting.rows:
        by_face[row.sha256, round(row.x), round(row.y)].append(row)
    for own in by_face.values():
        conflict = len({r.label for r in own}) > 1
        kept += [] if conflict else own[:1]
        for row in own if conflict else own[1:]:
            dropped[row.source, "copies with different labels" if conflict else "exact copy"] += 1
    return Cutting(kept, dropped)


def prepare(
    photos: Sequence[Photo],
    detector: Detector,
    out: Path,
    *,
    held_out_sources: Sequence[str],
    share: float,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Cutting:
    """Make a prepared set in ``out``. Two runs with one seed give the same manifest."""
    cutting = drop_copies(cut_faces(photos, detector, out, tick))
    rows, _ = join_near_duplicates(cutting.rows, NEAR_BITS)
    rows = hold_out(rows, held_out_sources or sorted({r.source for r in rows}), share, seed)
    if rows:
        write_manifest(out, rows)
    return Cutting(rows, cutting.dropped)
