"""Make the golden face crops of ``demo/golden``: what a classifier gets to see, with what it should say.

    python -m demo.make_golden [--yunet models/third_party/face_detection_yunet_2023mar.onnx]

Every crop is cut as ``edge`` cuts faces: the detector's box, ``edge.preprocess.crop_face``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Final

import cv2

from demo.fetch_pictures import ROOT, PictureError
from demo.stills import Still, render
from edge.detect import Detector, YuNet
from edge.preprocess import crop_face
from edge.records import ImageU8

OUT: Final = Path(__file__).resolve().parent / "golden"
YUNET: Final = ROOT / "models" / "third_party" / "face_detection_yunet_2023mar.onnx"
MARGIN: Final = 0.20  # the crop margin of the model that ships
SIZE_PX: Final = 128

STILLS: Final = (
    Still("collins_bare", "collins"),
    Still("collins_mask_blue", "collins", "blue"),
    Still("collins_mask_black_tilted", "collins", "black", tilt=9),
    Still("collins_blue_below_nose", "collins", "blue", "below_nose"),
    Still("hopper_bare", "hopper"),
    Still("hopper_mask_white", "hopper", "white"),
    Still("hopper_mask_blue_small", "hopper", "blue", face_px=42),
    Still("hopper_white_under_chin", "hopper", "white", "under_chin"),
    Still("canon_man_bare", "canon_man"),
    Still("canon_man_mask_black", "canon_man", "black"),
    Still("canon_man_mask_dots_blurred", "canon_man", "dots", face_px=70, blur_px=1.5),
    Still("canon_man_dots_below_nose", "canon_man", "dots", "below_nose"),
    Still("photographer_bare", "photographer", tilt=-6),
    Still("photographer_bare_small", "photographer", face_px=40),
    Still("photographer_mask_white", "photographer", "white"),
    Still("andersson_bare", "andersson"),
)


def largest_face(still: Still, detector: Detector, margin: float) -> ImageU8:
    """The still's face as the classifier gets it, RGB. Raises PictureError where the detector finds none."""
    picture = render(still)
    faces = detector.find(picture)
    if not faces:
        raise PictureError(f"{still.name}: {detector.name} finds no face in the picture that was made")
    return crop_face(picture, faces[0].box, margin, SIZE_PX)


def make(detector: Detector, margin: float) -> None:
    OUT.mkdir(exist_ok=True)
    with (OUT / "golden.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "label"))
        for still in STILLS:
            path = OUT / f"{still.name}.png"
            cv2.imwrite(str(path), cv2.cvtColor(largest_face(still, detector, margin), cv2.COLOR_RGB2BGR))
            table.writerow((path.name, still.label))


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the golden face crops of demo/golden.")
    parser.add_argument("--yunet", type=Path, default=YUNET, help="the verified model file of the detector")
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="share of the box's longer side added on every side"
    )
    options = parser.parse_args()
    if not options.yunet.is_file():
        print(f"make_golden: {options.yunet} is not there: run `make setup`, or name it with --yunet", file=sys.stderr)
        return 66
    try:
        make(YuNet(options.yunet.read_bytes()), options.margin)
    except PictureError as error:
        print(f"make_golden: {error}", file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
