"""A prepared set of drawn people, written straight into its manifest."""

from __future__ import annotations

from pathlib import Path

from edge.opencv import cv2
from tests.trainer.drawn import person, row
from trainer.faces.manifest import write_manifest


def prepared_set(folder: Path, people: int = 8) -> Path:
    """Two sources; each person is there with all three labels, every fourth person is held out."""
    folder.mkdir(parents=True)
    rows = []
    for i in range(people):
        for label in ("mask", "no_mask", "incorrect"):
            name = f"{label}{i}.png"
            cv2.imwrite(str(folder / name), person(label, seed=10 * i + len(label)))
            split = "held_out" if i % 4 == 0 else "train"
            rows.append(row(label, path=name, source="ab"[i % 2], group=f"p{i}", split=split, origin=f"x/{name}"))
    write_manifest(folder, rows)
    return folder
