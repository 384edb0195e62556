"""Our tracker beside norfair's, on the same faces of the same clips: how many persons each makes of those there are.

    pip install --no-deps norfair filterpy && python benchmarks/trackers.py [--truth ../shared/data/clips/truth.csv]

A clip's persons are those of its truth table; optional ones may be met or not. What each tracker counts as a person: at
least three sightings of 32 px or more. The choice made from it is in docs/tracking.md.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.appearance import appearance
from edge.detect import YuNet
from edge.records import Face
from edge.sources import open_source
from edge.third_party import locate
from edge.track import Tracker

MIN_PX: Final = 32
MIN_SIGHTINGS: Final = 3
Update = Callable[[float, Sequence[Face]], list[tuple[int, Face]]]
Clip = list[tuple[float, list[Face]]]


def ours() -> Update:
    tracker = Tracker(return_s=2.0, sure_score=YuNet.sure_score)

    def update(t_s: float, faces: Sequence[Face]) -> list[tuple[int, Face]]:
        return [(s.person, s.face) for s in tracker.update(t_s, faces).sightings]

    return update


def norfair(fps: float) -> Update:
    """Kalman-filtered boxes, matched by IoU, with the same patience and the same number of hits before a person."""
    from norfair import Detection
    from norfair import Tracker as Norfair

    tracker = Norfair("iou", 0.7, hit_counter_max=max(3, round(2 * fps)), initialization_delay=2)

    def update(_t_s: float, faces: Sequence[Face]) -> list[tuple[int, Face]]:
        found = [Detection(corners(f), scores=np.full(2, f.score), data=f) for f in faces]
        objects: list[Any] = tracker.update(found)
        return [(o.id, o.last_detection.data) for o in objects if any(o.last_detection is d for d in found)]

    return update


def corners(face: Face) -> np.ndarray[Any, np.dtype[np.float64]]:
    x, y, width, height = face.box
    return np.array([[x, y], [x + width, y + height]])


def find_all(path: Path) -> Clip:
    detector = YuNet(locate("yunet").data)
    clip: Clip = []
    with open_source(str(path), pace="max") as source:
        while (frame := source.read(10.0)) is not None:
            large = [f for f in detector.find(frame.image_bgr) if f.box.shorter_px >= 0.7 * MIN_PX]
            clip.append((frame.t_s, [replace(f, appearance=appearance(frame.image_bgr, f.box)) for f in large]))
    return clip


def count_persons(update: Update, clip: Clip) -> tuple[int, float]:
    """Persons met, and microseconds per frame."""
    seen: Counter[int] = Counter()
    start = time.perf_counter()
    for t_s, faces in clip:
        for person, face in update(t_s, faces):
            seen[person] += face.box.shorter_px >= MIN_PX
    return sum(n >= MIN_SIGHTINGS for n in seen.values()), 1e6 * (time.perf_counter() - start) / len(clip)


def due(rows: list[dict[str, str]]) -> tuple[int, int]:
    """Fewest and most persons that a clip's truth allows; one who comes back after two seconds may be met again."""
    spans: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
    for row in rows:
        if row["label"] not in ("no_person", "ignore") and not row["person"].startswith(("none", "others")):
            optional = "optional" in row["remarks"] or float(row["max_face_px"] or 0) < 34
            spans[row["person"]].append((float(row["t_enter"]), float(row["t_leave"]), optional))
    fewest = sum(not own[0][2] for own in spans.values())
    returns = sum(
        b[0] - a[1] > 1.5 for own in spans.values() for a, b in zip(sorted(own), sorted(own)[1:], strict=False)
    )
    return fewest, len(spans) + returns + 3 * any(r["person"].startswith("others") for r in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=Path("../shared/data/clips/truth.csv"))
    args = parser.parse_args()
    if importlib.util.find_spec("norfair") is None:
        raise SystemExit("norfair is not here: .venv/bin/pip install --no-deps norfair filterpy scipy matplotlib")
    if not args.truth.is_file():
        raise SystemExit(f"{args.truth} is not here: this benchmark needs clips with a truth table")
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with args.truth.open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["clip"]].append(row)
    totals = {name: [0, 0, 0.0] for name in ("ours", "norfair")}
    for name, own in sorted(rows.items()):
        clip = find_all(args.truth.parent / name)
        fewest, most = due(own)
        fps = (len(clip) - 1) / (clip[-1][0] - clip[0][0]) if len(clip) > 1 else 25.0
        line = [f"{name:64} due {fewest}-{most}"]
        for tracker, update in (("ours", ours()), ("norfair", norfair(fps))):
            persons, microseconds = count_persons(update, clip)
            totals[tracker][0] += max(0, persons - most)
            totals[tracker][1] += max(0, fewest - persons)
            totals[tracker][2] += microseconds / len(rows)
            line.append(f"{tracker} {persons}")
        print("  ".join(line), flush=True)
    for tracker, (extra, missing, microseconds) in totals.items():
        print(f"{tracker}: {extra} too many, {missing} too few, {microseconds:.0f} us per frame")


if __name__ == "__main__":
    main()
