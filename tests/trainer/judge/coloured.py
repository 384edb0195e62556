"""Prepared sets of coloured squares for the tiny bundle of ``tests.edge.bundles``, which calls a green face ``mask``, a
red one ``no_mask`` and a blue one ``incorrect``: what it gets right and wrong is known beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.opencv import cv2
from tests.edge.bundles import BLUE_BGR, GREEN_BGR, RED_BGR, plain
from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow, write_manifest

COLOURS: Final = {"mask": GREEN_BGR, "no_mask": RED_BGR, "incorrect": BLUE_BGR}
SIDE_PX: Final = 40


@dataclass(frozen=True)
class Face:
    """A face with a label that looks like one of ``looks``; itself where nothing else is said."""

    label: str
    looks: str = ""
    source: str = "square"
    split: str = "held_out"
    flags: str = ""
    shorter_px: float = 64.0


def some(n: int = 12, source: str = "square", split: str = "held_out") -> list[Face]:
    """Of each label n faces, of which a sixth of the masked and one of the others look like something else."""
    faces = [Face("mask", "no_mask" if i % 6 == 5 else "", source, split) for i in range(n)]
    faces += [Face("no_mask", "mask" if i == 0 else "", source, split, "beard" if i < 4 else "") for i in range(n)]
    return faces + [Face("incorrect", "mask" if i == 0 else "", source, split) for i in range(n)]


def coloured_set(folder: Path, faces: Iterable[Face]) -> Path:
    """A prepared set of these faces, two to a group."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [write_face(folder, i, face) for i, face in enumerate(faces)]
    write_manifest(folder, rows)
    return folder


def write_face(folder: Path, i: int, face: Face) -> FaceRow:
    path = f"{i:04d}.png"
    cv2.imwrite(str(folder / path), plain(COLOURS[face.looks or face.label], SIDE_PX, SIDE_PX))
    return row(
        face.label,
        path=path,
        source=face.source,
        split=face.split,
        group=f"{face.source}:{face.split}{i // 2}",
        flags=face.flags,
        shorter_px=face.shorter_px,
        x=8.0,
        y=8.0,
        width=24.0,
        height=24.0,
        landmarks="",
    )
