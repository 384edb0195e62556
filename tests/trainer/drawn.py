"""Drawn people, so that no photo is needed: a skin-coloured oval with eyes, and a mouth or a blue mask."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from edge.opencv import cv2
from edge.records import Box, Face, ImageU8
from trainer.faces.manifest import FaceRow

BOX = Box(60, 50, 80, 100)
LANDMARKS = ((82.0, 85.0), (118.0, 85.0), (100.0, 105.0), (86.0, 125.0), (114.0, 125.0))
SKIN, MASK_BLUE = (140, 170, 210), (210, 150, 60)


def person(label: str, seed: int = 0) -> ImageU8:
    """(200, 200, 3) uint8 BGR with a face in ``BOX``; the seed gives another background and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (5, 5, 3), np.uint8)  # another background each, or all would be near-duplicates
    image = cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    cv2.ellipse(image, (100, 100), (40, 50), 0, 0, 360, SKIN, -1)
    for x in rng.integers(60, 140, 6).tolist():  # a fringe
        cv2.circle(image, (x, 60), 12, rng.integers(0, 120, 3).tolist(), -1)
    for x, y in LANDMARKS[:2]:
        cv2.circle(image, (int(x), int(y)), 5, (20, 20, 20), -1)
    cv2.line(image, (86, 125), (114, 125), (60, 60, 160), 4)
    top = {"mask": 98, "incorrect": 115}.get(label)
    if top:
        cv2.rectangle(image, (62, top), (138, 148), MASK_BLUE, -1)
    noisy = image + rng.normal(0, 4, image.shape)
    photo: ImageU8 = np.clip(noisy, 0, 255).astype(np.uint8)
    return photo


def row(label: str = "no_mask", **changes: object) -> FaceRow:
    """A manifest row of a drawn person."""
    given: dict[str, object] = {
        "path": "a.jpg",
        "label": label,
        "source": "drawn",
        "group": "drawn:a",
        "split": "train",
        "x": BOX.x,
        "y": BOX.y,
        "width": BOX.width,
        "height": BOX.height,
        "found_by": "detector",
        "shorter_px": 80.0,
        "landmarks": " ".join(f"{v}" for point in LANDMARKS for v in point),
        "sha256": "",
        "phash": "",
        "flags": "",
        "origin": "drawn/a.jpg",
    }
    return FaceRow(**{**given, **changes})  # type: ignore[arg-type]


class DrawnFaceFinder:
    """A detector that knows where drawn people have their face; it finds none on a plain picture."""

    name = "drawn"
    sure_score = 0.6

    def find(self, image_bgr: ImageU8) -> list[Face]:
        return [Face(BOX, 0.9, LANDMARKS)] if image_bgr.std() > 10 else []


LABELS = ("with_mask", "without_mask", "incorrect_mask")


def photo_set(folder: Path, people: int = 6, labels: tuple[str, ...] = LABELS) -> Path:
    """A folder with ``labels.csv``: ``people`` groups, each with one photo per label."""
    folder.mkdir(parents=True)
    spelled = {"with_mask": "mask", "without_mask": "no_mask", "incorrect_mask": "incorrect"}
    with (folder / "labels.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "group", "x", "y", "w", "h", "flags"])
        for i in range(people):
            for label in labels:
                name = f"{label}{i}.png"
                cv2.imwrite(str(folder / name), person(spelled[label], seed=i * 10 + len(label)))
                writer.writerow([name, label, f"p{i}", *map(int, BOX), ""])
    return folder
