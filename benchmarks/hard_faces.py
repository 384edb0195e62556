"""Bare faces that are taken for masked ones: real hands before the mouth in video, and flagged photos of a source.

    python benchmarks/hard_faces.py [MODEL] [--data faces/ --source film_stills] [--shared ../shared]

MODEL: a bundle, a run folder or a .tflite; default: the shipped bundle. The frames are those of ``clips/intel`` whose
remarks in ``truth.csv`` say that hands are before mouth or chin; in each the face of the person with the hands counts:
the largest one of 32 px or more that the frame's border does not cut. With ``--data`` the flagged bare faces of the
``--source``s of a prepared set are counted too: those held out, and all of a source that the model left out.
Intervals are by Wilson, with the number of groups (people or scenes) as n.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.detect import Detector, YuNet
from edge.places import default_bundle
from edge.preprocess import crop_face
from edge.records import NO_MASK, Box, Face, ImageU8
from edge.third_party import locate
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import HELD_OUT, FaceRow, read_manifest
from trainer.judge.models import Judged, open_model
from trainer.learn.draws import HARD_BARE
from trainer.metrics import probabilities, wilson

MIN_FACE_PX: Final = 32
HANDS: Final = {  # person, and seconds of each clip with hands before mouth or chin, as truth.csv remarks
    "asl_book": ("C", ((0.6, 2.9),)),
    "asl_help": ("A", ((0.6, 1.3),)),
    "asl_thanks": ("B", ((0.3, 0.9),)),
    "asl_bird": ("B", ((0.4, 1.2),)),
    "asl_person_a_six_gestures": ("A", ((5.5, 6.1),)),
    "asl_person_b_five_gestures": ("B", ((2.1, 2.9), (6.6, 7.2))),
    "asl_person_c_four_gestures": ("C", ((0.6, 2.9),)),
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


def main_face(faces: Sequence[Face], width: int, height: int) -> Box | None:
    """The box of the largest face that the border of a frame of this size, pixels, does not cut: who is filmed."""
    whole = [
        f.box
        for f in faces
        if f.box.shorter_px >= MIN_FACE_PX
        and min(f.box.x, f.box.y, width - f.box.x - f.box.width, height - f.box.y - f.box.height) >= 0
    ]
    return max(whole, key=lambda box: box.shorter_px, default=None)


def faces_of(path: Path, spans: tuple[tuple[float, float], ...], detector: Detector, model: Judged) -> list[ImageU8]:
    crops = []
    for frame in frames(path, spans):
        box = main_face(detector.find(frame), frame.shape[1], frame.shape[0])
        if box:
            crops.append(crop_face(frame, box, model.margin, model.size_px))
    return crops


def report(name: str, wrong: int, count: int, groups: int) -> None:
    share = wrong / max(1, count)
    low, high = wilson(share * groups, groups)
    print(f"| {name} | {count} | {groups} | {wrong} | {share:.1%} ({low:.1%} to {high:.1%}) |", flush=True)


def hands(model: Judged, clips: Path) -> None:
    detector = YuNet(locate("yunet").data)
    total = wrong = 0
    for name, (_, spans) in HANDS.items():
        found = faces_of(clips / f"{name}.mkv", spans, detector, model)
        own = called_mask(model, np.stack(found)) if found else 0
        report(name, own, len(found), 1)
        total, wrong = total + len(found), wrong + own
    report("all frames with hands", wrong, total, len({person for person, _ in HANDS.values()}))


def untrained(rows: Sequence[FaceRow], sources: Sequence[str], leave_out: Sequence[str]) -> list[FaceRow]:
    """Bare faces of these sources: those held out, and every one of a source that the model left out."""
    return [
        r for r in rows if r.label == NO_MASK and r.source in sources and (r.split == HELD_OUT or r.source in leave_out)
    ]


def flagged(model: Judged, data: Path, sources: Sequence[str]) -> None:
    left_out = model.origin.division.leave_out
    for source in sources:
        which = "every face, as the model left it out" if source in left_out else "held-out faces only"
        print(f"| {source}: {which} | | | | |")
    bare = untrained(read_manifest(data), sources, left_out)
    every = [r for r in bare if set(r.flags.split()) & HARD_BARE]
    for flag in sorted({f for r in every for f in r.flags.split()} & HARD_BARE):
        report_rows(flag, [r for r in every if flag in r.flags.split()], model, data)
    for name, rows in (("all flagged", every), ("all bare", bare)):
        if rows:
            report_rows(name, rows, model, data)


def report_rows(name: str, rows: Sequence[FaceRow], model: Judged, data: Path) -> None:
    wrong = called_mask(model, plain_crops(data, rows, model.margin, model.size_px))
    report(name, wrong, len(rows), len({r.group for r in rows}))


def refuse_unknown(parser: argparse.ArgumentParser, data: Path, sources: Sequence[str]) -> None:
    known = sorted({r.source for r in read_manifest(data)})
    if not sources or set(sources) - set(known):
        parser.error(f"--data needs a --source of that set: {', '.join(known)}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    args = parser.parse_args(argv)
    if args.data:
        refuse_unknown(parser, args.data, args.source)
    model = open_model(args.model or default_bundle())
    print(f"{model.name}\n\n| bare faces | count | groups | called mask | (95%) |\n|---|---|---|---|---|")
    clips = args.shared / "data" / "clips" / "intel"
    if clips.is_dir():
        hands(model, clips)
    if args.data:
        flagged(model, args.data, args.source)


if __name__ == "__main__":
    main()
