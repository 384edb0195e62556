"""The prepared set: one row per face, in ``manifest.csv`` beside the pictures it names.

A face's ``group`` joins what must not be split between training and validation: photos of one person, faces of one
scene or burst, near-duplicates. Labels are those of a model, in index order.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

from edge.errors import DataError, InputMissing
from edge.records import Box
from trainer.faces.labels import LABELS
from trainer.whole import replace_file

MANIFEST: Final = "manifest.csv"
ODD_NAMES: Final = "surrogateescape"  # a file's name need not be UTF-8; its bytes come back as they were
TRAIN: Final = "train"
HELD_OUT: Final = "held_out"


@dataclass(frozen=True, slots=True)
class FaceRow:
    """One face of the prepared set.

    path: the context picture, relative to the manifest's folder. origin: the photo it was cut from, ``source/path``.
    label: one of ``LABELS``. split: ``train`` or ``held_out``.
    x, y, width, height: the face's box in pixels of the context picture.
    found_by: who gave the box: ``detector``, or ``given`` where only the publisher's box was to be had.
    shorter_px: shorter side of the box in the photo, before the context picture was scaled.
    landmarks: ten numbers (x and y of right eye, left eye, nose tip, corners of the mouth), or none.
    sha256: of the photo's bytes. phash: 64-bit perceptual hash of the face, hex.
    flags: words of the publisher (``beard``, ``hand_at_face``), parted by spaces.

    What follows tells of the photo, and may be missing in sets of an older version: width and height as read, file type
    and colour mode (``jpeg``, ``RGBA``), JPEG quality (1-100, 0 for other types), sharpness of the face (see
    ``cutting.sharpness``), and size and type as first published, where the publisher's table told (``634x896 png``).
    """

    path: str
    label: str
    source: str
    group: str
    split: str
    x: float
    y: float
    width: float
    height: float
    found_by: str
    shorter_px: float
    landmarks: str
    sha256: str
    phash: str
    flags: str
    origin: str
    photo_width: int = 0
    photo_height: int = 0
    file_type: str = ""
    mode: str = ""
    jpeg_quality: int = 0
    sharpness: float = 0.0
    published: str = ""

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.width, self.height)

    @property
    def label_index(self) -> int:
        return LABELS.index(self.label)

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The landmarks as five points, or none."""
        numbers = [float(v) for v in self.landmarks.split()]
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))


NUMBERS: Final = frozenset(("x", "y", "width", "height", "shorter_px", "sharpness"))
WHOLE_NUMBERS: Final = frozenset(("photo_width", "photo_height", "jpeg_quality"))
COLUMNS: Final = tuple(f.name for f in fields(FaceRow))
NEEDED: Final = frozenset(f.name for f in fields(FaceRow) if f.default is MISSING)


def write_manifest(folder: Path, rows: Iterable[FaceRow]) -> None:
    """Write ``manifest.csv``; boxes to a tenth of a pixel. Raises DiskError and leaves an older one whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = ((name, getattr(row, name)) for name in COLUMNS)
        writer.writerow(round(value, 1) if name in NUMBERS else value for name, value in values)
    replace_file(folder / MANIFEST, lambda path: path.write_text(text.getvalue(), "utf-8", ODD_NAMES))


def read_manifest(folder: Path) -> list[FaceRow]:
    """Every face of a prepared set. Raises InputMissing or DataError naming the line."""
    path = _manifest(folder)
    with path.open(newline="", encoding="utf-8", errors=ODD_NAMES) as f:
        reader = csv.DictReader(f)
        missing = NEEDED - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}: prepare the set again")
        rows = [_parse(line, f"{path}:{reader.line_num}") for line in reader]
    if not rows:
        raise DataError(f"{path} holds no face: prepare the set again")
    return rows


def manifest_sha256(folder: Path) -> str:
    """What tells one prepared set from another, 64 hex digits. Raises InputMissing where the folder is none."""
    with _manifest(folder).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _manifest(folder: Path) -> Path:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(f"no {MANIFEST} in {folder}: make a prepared set with `trainer prepare`")
    return path


def _parse(line: dict[str, str], place: str) -> FaceRow:
    try:
        row = FaceRow(**{name: _value(name, line[name]) for name in COLUMNS if name in line})
    except (ValueError, TypeError) as error:
        raise DataError(f"{place} is not a face: {error}") from error
    if row.label not in LABELS or row.split not in (TRAIN, HELD_OUT) or row.box.shorter_px <= 0:
        raise DataError(f"{place} has label {row.label!r}, split {row.split!r}, box {tuple(row.box)}: prepare again")
    return row


def _value(name: str, text: str) -> Any:
    return float(text) if name in NUMBERS else int(text) if name in WHOLE_NUMBERS else text


def straddling_groups(rows: Sequence[FaceRow]) -> list[str]:
    """Groups that have faces on both sides of the split; must be none."""
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        sides[row.group].add(row.split)
    return sorted(group for group, own in sides.items() if len(own) > 1)


def refuse_straddling(rows: Sequence[FaceRow]) -> None:
    """Raise DataError where a group lies on both sides of the split: its figures would flatter."""
    straddling = straddling_groups(rows)
    if straddling:
        raise DataError(
            f"{len(straddling)} groups lie on both sides of the split (first: {straddling[0]}): prepare the set again"
        )
