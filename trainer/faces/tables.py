"""Photos named by a ``labels.csv``: ``path,label`` and, where known, ``group,x,y,w,h,flags``; a picture may have many
lines, one per face. ``orig_w,orig_h,orig_type`` tell size and type before somebody altered the picture.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from edge.errors import DataError
from edge.records import Box
from trainer.faces.groups import bursts, times_taken
from trainer.faces.labels import Naming
from trainer.faces.photos import Dropped, Found, Photo, drop, pictures_in

TABLE: Final = "labels.csv"
BAD_BOX: Final = "bad box"


def read_table(folder: Path, source: str, naming: Naming) -> Found:
    """Every line of a ``labels.csv``. Raises DataError where it is no table with the columns path and label."""
    found = Found()
    rows = _rows(folder / TABLE)
    for number, row in enumerate(rows, start=2):
        found.add(_face(folder, source, naming, row, f"line {number} of {TABLE}"))
    _count_unnamed(found, folder, source)
    if not any(row.get("group") for row in rows):
        found.taken_together = bursts(found.photos, times_taken(found.photos))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as f:  # spreadsheets write a mark before the first column
            reader = csv.DictReader(f, restkey="more", restval="")
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                have = ", ".join(reader.fieldnames or ()) or "nothing"
                raise DataError(f"{path} needs the columns path and label, parted by commas; it has {have}")
            return [dict(row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a table in UTF-8: {error}: save it as CSV (UTF-8, commas)") from error


def _face(folder: Path, source: str, naming: Naming, row: Mapping[str, str], place: str) -> Photo | Dropped:
    name, word = row["path"].strip(), row["label"].strip()
    label = naming.label(word)
    group = f"{source}:{row.get('group') or name}"
    photo = Photo(folder / name, source, name, label or word, group, None, row.get("flags") or "", _published(row))
    if not name:
        return drop(photo, "no path", place)
    if label is None:
        return drop(photo, f"label {word!r} is not known", place)
    try:
        return replace(photo, box=read_box(*(row.get(key) or "" for key in ("x", "y", "w", "h"))))
    except ValueError as error:
        return drop(photo, BAD_BOX, f"{place}: {error}")


def read_box(*texts: str) -> Box | None:
    """Four numbers, left, top, width, height; None where all are empty. Raises ValueError for anything else."""
    if not any(text.strip() for text in texts):
        return None
    numbers = [float(text) for text in texts]
    if not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0:
        raise ValueError(f"{', '.join(texts)} is no box with an area")
    return Box(*numbers)


def _published(row: Mapping[str, str]) -> str:
    width, height, kind = (row.get(key) or "" for key in ("orig_w", "orig_h", "orig_type"))
    return f"{width}x{height} {kind}".strip() if width.isdecimal() and height.isdecimal() else ""


def _count_unnamed(found: Found, folder: Path, source: str) -> None:
    named = {str(PurePosixPath(path)) for path in (*(p.origin for p in found.photos), *(d.path for d in found.dropped))}
    for path in pictures_in(folder):
        name = path.relative_to(folder).as_posix()
        if f"{source}/{name}" not in named:
            found.drop(source, name, "", f"not named in {TABLE}")
