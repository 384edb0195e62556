"""Labels put right by a person who looked: a table beside the photos, so that whose they are stays as it was published.

CSV with the columns ``photo`` (``source/path``, as `dropped.csv` and the manifest's ``origin`` spell it) and ``label``:
one of ``LABELS``, or ``doubtful`` for a photo that nobody can label, which is then left out.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge.errors import DataError, InputMissing
from trainer.faces.labels import LABELS, SPELLINGS, plain
from trainer.faces.photos import Dropped, Found, Photo, drop

DOUBTFUL: Final = "doubtful"
COLUMNS: Final = ("photo", "label")
NAMED: Final = 3  # corrections that met no photo: enough to see how they are spelled


def read_corrections(path: Path) -> dict[str, str]:
    """Photo to label or ``doubtful``. Raises InputMissing or DataError that names the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark before the first column
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path} has no column {' or '.join(missing)}: its first line must be photo,label")
            found: dict[str, str] = {}
            for number, row in enumerate(reader, 2):
                label = _label(row["label"], path, number)
                if not row["photo"]:
                    raise DataError(
                        f"{path}, line {number}: names no photo: write it as SOURCE/PATH, or take the line out"
                    )
                if found.setdefault(row["photo"], label) != label:
                    raise DataError(f"{path}, line {number}: {row['photo']} has another label further up: keep one")
            return found
    except FileNotFoundError as error:
        raise InputMissing(f"no file {path}: name a table of corrected labels, or leave --corrections out") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read as CSV ({error}): save it as UTF-8 with the columns photo,label"
        ) from error


def _label(word: str | None, path: Path, line: int) -> str:
    known = {**SPELLINGS, DOUBTFUL: DOUBTFUL}
    if plain(word or "") not in known:
        raise DataError(f"{path}, line {line}: label {word!r} is none of {', '.join((*LABELS, DOUBTFUL))}")
    return known[plain(word or "")]


def correct(found: Found, corrections: Mapping[str, str]) -> Found:
    """The photos with their labels put right; doubtful ones are dropped, by that name.

    Raises DataError for a photo of several faces: which of them is meant nobody could tell.
    """
    faces = Counter(p.origin for p in found.photos)
    if several := sorted(o for o in corrections if faces[o] > 1):
        raise DataError(f"corrections name {several[0]}, which shows {faces[several[0]]} faces: correct its own labels")
    done = Found(dropped=list(found.dropped), notes=list(found.notes))
    for photo in found.photos:
        done.add(_corrected(photo, corrections.get(photo.origin)))
    unmet = [o for o in corrections if not faces[o]]
    named = ", ".join([*unmet[:NAMED], *(["..."] if len(unmet) > NAMED else [])])
    done.notes.append(
        f"{len(corrections) - len(unmet)} labels put right or left out, "
        f"{len(unmet)} corrections met no photo{': ' if unmet else ''}{named}"
    )
    return done


def _corrected(photo: Photo, label: str | None) -> Photo | Dropped:
    if label == DOUBTFUL:
        return drop(photo, "doubtful label")
    return photo if label is None else replace(photo, label=label)
