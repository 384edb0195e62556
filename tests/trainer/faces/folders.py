"""Small sources made of drawn people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.opencv import cv2
from edge.records import Box
from tests.trainer.drawn import DrawnFaceFinder, person
from trainer.faces.labels import Naming
from trainer.faces.photos import Dropped
from trainer.faces.prepare import Prepared, prepare
from trainer.faces.sources import read_sources


def draw(path: Path, label: str, seed: int) -> Path:
    """A drawn person's photo; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(path.suffix if path.suffix in (".jpg", ".png") else ".png", person(label, seed))[1]
    path.write_bytes(data.tobytes())
    return path


def class_folders(folder: Path, each: int = 4, names: Sequence[str] = ("mask", "no_mask")) -> Path:
    """``folder/mask/0.png`` and so on: other people in every photo."""
    for k, name in enumerate(names):
        for i in range(each):
            draw(folder / name / f"{i}.png", ("mask", "no_mask")[k % 2], seed=100 * k + i)
    return folder


def voc_scene(box: Box, *names: str, filename: str = "") -> str:
    """An annotation whose objects all have one box."""
    left, top, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    corners = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    objects = "".join(f"<object><name>{n}</name><bndbox>{corners}</bndbox></object>" for n in names)
    return f"<annotation><filename>{filename}</filename>{objects}</annotation>"


def made(folder: Path, out: Path, *names: str, **options: object) -> Prepared:
    """``trainer prepare`` with a detector of drawn faces. names: as with ``--map``."""
    out.mkdir(parents=True, exist_ok=True)
    found = read_sources([folder], Naming(names))
    return prepare(found, DrawnFaceFinder(), out, **{"share": 0.3, **options})  # type: ignore[arg-type]


def why(dropped: Sequence[Dropped], name: str) -> str:
    """The reason why a file of this name was dropped, or nothing."""
    return next((d.reason for d in dropped if d.path.endswith(name)), "")
