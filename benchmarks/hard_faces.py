"""Bare faces that are taken for masked ones: real hands before the mouth in video, and flagged photos of a source.

    python benchmarks/hard_faces.py [MODEL] [--data faces/ --source film_stills] [--shared ../shared]

MODEL: a bundle, a run folder or a .tflite; default: the shipped bundle. The frames are those of ``clips/intel`` whose
remarks in ``truth.csv`` say that hands are before mouth or chin; every face of 32 px or more in them counts. With
``--data`` the flagged bare faces of a prepared set are counted too: name a source that the model was not trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.detect import Detector, YuNet
from edge.places import default_bundle
from edge.preprocess import crop_face
from edge.records import NO_MASK, ImageU8
from edge.third_party import locate
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import read_manifest
from trainer.judge.models import Judged, open_model
from trainer.learn.draws import HARD_BARE
from trainer.metrics import probabilities

MIN_FACE_PX: Final = 32
HANDS: Final = {  # seconds of each clip with hands before mouth or chin, as truth.csv remarks
    "asl_book": ((0.6, 2.9),),
    "asl_help": ((0.6, 1.3),),
    "asl_thanks": ((0.3, 0.9),),
    "asl_bird": ((0.4, 1.2),),
    "asl_person_a_six_gestures": ((5.5, 6.1),),
    "asl_person_b_five_gestures": ((2.1, 2.9), (6.6, 7.2)),
    "asl_person_c_four_gestures": ((0.6, 2.9),),
}


def frames(path: Path, spans: tuple[tuple[float, float], ...]) -> Iterator[ImageU8]:
    """Frames of a clip within the spans, seconds."""
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    at = 0
    while True:
        read, frame = video.read()
        if not read:
            return
        if any(start <= at / fps <= end for start, end in spans):
            yield frame.astype(np.uint8, copy=False)
        at += 1


def called_mask(model: Judged, crops: ImageU8) -> int:
    p_mask = probabilities(model.logits(crops), model.calibration)[:, 0]
    return int((p_mask >= model.threshold).sum())


def faces_of(path: Path, spans: tuple[tuple[float, float], ...], detector: Detector, model: Judged) -> list[ImageU8]:
    return [
        crop_face(frame, face.box, model.margin, model.size_px)
        for frame in frames(path, spans)
        for face in detector.find(frame)
        if face.box.shorter_px >= MIN_FACE_PX
    ]


def report(name: str, wrong: int, count: int) -> None:
    print(f"| {name} | {count} | {wrong} | {100 * wrong / max(1, count):.1f}% |", flush=True)


def hands(model: Judged, clips: Path) -> None:
    detector = YuNet(locate("yunet").data)
    total = wrong = 0
    for name, spans in HANDS.items():
        found = faces_of(clips / f"{name}.mkv", spans, detector, model)
        own = called_mask(model, np.stack(found)) if found else 0
        report(name, own, len(found))
        total, wrong = total + len(found), wrong + own
    report("all frames with hands", wrong, total)


def flagged(model: Judged, data: Path, sources: list[str]) -> None:
    bare = [r for r in read_manifest(data) if r.label == NO_MASK and r.source in sources]
    every = [r for r in bare if set(r.flags.split()) & HARD_BARE]
    for flag in sorted({f for r in every for f in r.flags.split()} & HARD_BARE):
        own = [r for r in every if flag in r.flags.split()]
        report(flag, called_mask(model, plain_crops(data, own, model.margin, model.size_px)), len(own))
    for name, rows in (("all flagged", every), ("all bare", bare)):
        if rows:
            report(name, called_mask(model, plain_crops(data, rows, model.margin, model.size_px)), len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    args = parser.parse_args()
    model = open_model(args.model or default_bundle())
    print(f"{model.name}\n\n| bare faces | count | called mask | |\n|---|---|---|---|")
    clips = args.shared / "data" / "clips" / "intel"
    if clips.is_dir():
        hands(model, clips)
    if args.data:
        flagged(model, args.data, args.source)


if __name__ == "__main__":
    main()
