"""How well each detector finds faces by size and state, and what it invents, at several input sizes and thresholds.

    python benchmarks/detectors.py [--shared ../shared]

Faces of the training sets (never of the evaluation set) are pasted, at a known size, onto blurred pictures without
people; false faces are counted on pictures without people. The choice made from it is in docs/detectors.md.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.detect import CenterFace, Detector, YuNet
from edge.records import Box, Face, ImageU8
from edge.third_party import locate
from trainer.faces.cutting import overlap

SETS: Final = ("ilc2021", "street_masks", "mask_types", "film_stills")
SIZES_PX: Final = (34, 48, 90)  # shorter side of the labelled box
SCENE: Final = (400, 300)  # width, height
MIN_FALSE_PX: Final = 20
SETTINGS: Final = {
    "yunet": ((320, 480, 640, 800), (0.3, 0.35, 0.4, 0.5, 0.6)),
    "centerface": ((320, 480, 640), (0.25, 0.36, 0.5)),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One face on a picture without people. image: (300, 400, 3) uint8 BGR."""

    image: ImageU8
    box: Box
    state: str
    size_px: int


def read_bgr(path: Path) -> ImageU8:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} cannot be read")
    return image.astype(np.uint8, copy=False)


def labelled(data: Path, per_class: int, rng: random.Random) -> Iterator[tuple[ImageU8, Box, str]]:
    for name in SETS:
        rows: dict[str, list[dict[str, str]]] = defaultdict(list)
        with (data / name / "labels.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                rows[row["label"]].append(row)
        for state, own in sorted(rows.items()):
            for row in rng.sample(own, min(per_class, len(own))):
                yield read_bgr(data / name / row["path"]), Box(*(float(row[k]) for k in "xywh")), state


def paste(face: ImageU8, box: Box, size_px: int, background: ImageU8, rng: random.Random) -> tuple[ImageU8, Box] | None:
    """The face at ``size_px`` on the background; None where it would have to be blown up or does not fit."""
    factor = size_px / box.shorter_px
    height, width = (round(side * factor) for side in face.shape[:2])
    if factor > 1.3 or width > SCENE[0] or height > SCENE[1]:
        return None
    scene = cv2.GaussianBlur(cv2.resize(background, SCENE), (0, 0), 2).astype(np.uint8, copy=False)
    left, top = rng.randint(0, SCENE[0] - width), rng.randint(0, SCENE[1] - height)
    scene[top : top + height, left : left + width] = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA)
    x, y, w, h = (value * factor for value in box)
    return scene, Box(x + left, y + top, w, h)


def make_scenes(data: Path, empty: list[ImageU8], per_class: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    scenes = []
    for face, box, state in labelled(data, per_class, rng):
        for size_px in SIZES_PX:
            pasted = paste(face, box, size_px, rng.choice(empty), rng)
            if pasted:
                scenes.append(Scene(*pasted, state, size_px))
    return scenes


def best_score(faces: list[Face], box: Box) -> float:
    """Score of the best face that lies over the box, 0 where there is none."""
    return max((f.score for f in faces if overlap(f.box, box) >= 0.3), default=0.0)


def measure(
    detector: Detector, scenes: list[Scene], empty: list[ImageU8], thresholds: tuple[float, ...], head: str
) -> None:
    start = time.perf_counter()
    found = [(s, best_score(detector.find(s.image), s.box)) for s in scenes]
    ms = 1000 * (time.perf_counter() - start) / len(scenes)
    false = [f.score for image in empty for f in detector.find(image) if f.box.shorter_px >= MIN_FALSE_PX]
    for threshold in thresholds:
        cells = []
        for state in ("with_mask", "without_mask", "incorrect_mask"):
            hits = [
                [score >= threshold for s, score in found if (s.state, s.size_px) == (state, px)] for px in SIZES_PX
            ]
            cells.append("/".join(f"{100 * np.mean(h):.0f}" for h in hits))
        wrong = sum(score >= threshold for score in false) / len(empty)
        print(f"| {head} | {threshold} | {ms:.0f} | {' | '.join(cells)} | {wrong:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--per-class", type=int, default=60)
    args = parser.parse_args()
    data = args.shared / "data"
    if not data.is_dir():
        raise SystemExit(f"{data} is not here: this benchmark needs labelled photos")
    empty = [read_bgr(path) for path in sorted((data / "no_face" / "images").rglob("*.jpg"))]
    scenes = make_scenes(data, empty, args.per_class)
    print(f"{len(scenes)} scenes, {len(empty)} pictures without people; recall % at {'/'.join(map(str, SIZES_PX))} px")
    print("| detector @ input | score | ms | mask | bare | badly worn | false per picture |")
    print("|---|---|---|---|---|---|---|")
    for name, (sizes, thresholds) in SETTINGS.items():
        for side in sizes:
            make = YuNet if name == "yunet" else CenterFace
            detector: Detector = make(locate(name).data, min(thresholds), side)
            measure(detector, scenes, empty, thresholds, f"{name} @ {side}")


if __name__ == "__main__":
    main()
