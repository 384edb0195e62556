"""A labelled face of a photo as it was handed in, and what was left out on the way.

Nothing disappears: whatever is not kept becomes a ``Dropped`` with its reason, counted in the printed table and named
in ``dropped.csv``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from edge.records import Box
from edge.sources.images import SUFFIXES, natural_key
from trainer.whole import replace_file

DROPPED: Final = "dropped.csv"
PICTURES: Final = SUFFIXES | {".gif"}  # one of a single frame is read


@dataclass(frozen=True, slots=True)
class Photo:
    """One labelled face; a picture with many boxes gives many.

    name: path of the file inside its source. label: one of ``LABELS``. group: what must not be split, ``source:name``.
    box: pixels of the upright picture, or None where the whole picture carries the label and shows one face.
    published: size and type before somebody else altered the picture, ``634x896 png``, or nothing.
    """

    path: Path
    source: str
    name: str
    label: str
    group: str
    box: Box | None = None
    flags: str = ""
    published: str = ""

    @property
    def origin(self) -> str:
        return f"{self.source}/{self.name}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """path: ``source/name``. label: as far as it was known. reason: a fixed phrase; detail: what goes with it."""

    path: str
    source: str
    label: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class Found:
    """What a source gave.

    taken_together: pairs of photos whose groups are one (see ``groups.bursts``). notes: sentences for the person at the
    terminal.
    """

    photos: list[Photo] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    taken_together: list[tuple[Photo, Photo]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, one: Photo | Dropped) -> None:
        if isinstance(one, Photo):
            self.photos.append(one)
        else:
            self.dropped.append(one)

    def drop(self, source: str, name: str, label: str, reason: str, detail: str = "") -> None:
        self.dropped.append(Dropped(f"{source}/{name}", source, label, reason, detail))


def files_in(folder: Path) -> list[Path]:
    """Every file at any depth, hidden ones and links that lead nowhere too, sorted as people number them."""
    return sorted((p for p in folder.rglob("*") if p.is_file() or p.is_symlink()), key=natural_key)


def pictures_in(folder: Path) -> list[Path]:
    """Of ``files_in``, what is called like a picture."""
    return [p for p in files_in(folder) if p.suffix.lower() in PICTURES]


def drop(photo: Photo, reason: str, detail: str = "") -> Dropped:
    return Dropped(photo.origin, photo.source, photo.label, reason, detail)


def write_dropped(folder: Path, dropped: Iterable[Dropped]) -> None:
    """Write ``dropped.csv``, one line per face or file that was not kept. Raises DiskError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f.name for f in fields(Dropped)]
    writer.writerow(names)
    writer.writerows([getattr(d, name) for name in names] for d in dropped)
    # A file name need not be UTF-8; its bytes come back as they were.
    replace_file(folder / DROPPED, lambda p: p.write_text(text.getvalue(), "utf-8", "surrogateescape"))
