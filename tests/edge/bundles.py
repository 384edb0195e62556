"""Small bundles around a real model of 1.6 KB: it calls a green crop ``mask``, a red one ``no_mask``, a blue one
``incorrect``. Also crops and pictures of these colours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edge.bundle import Bundle, load_bundle
from edge.records import ImageU8

DATA: Final = Path(__file__).parent.parent / "data"
MODEL: Final = (DATA / "tiny_uint8.tflite").read_bytes()
FLOAT_MODEL: Final = (DATA / "tiny_float.tflite").read_bytes()
SLOW_MODEL: Final = (DATA / "tiny_slow.tflite").read_bytes()
ENDLESS_MODEL: Final = (DATA / "tiny_endless.tflite").read_bytes()
CRASHING_MODEL: Final = MODEL[:898] + b"\xff" + MODEL[899:]  # an offset that leads out: SIGSEGV in LiteRT 2.3
SIDE_PX: Final = 8
GREEN_BGR, RED_BGR, BLUE_BGR = (0, 255, 0), (0, 0, 255), (255, 0, 0)
INPUT: Final = {
    "shape": [1, SIDE_PX, SIDE_PX, 3],
    "dtype": "uint8",
    "scale": 0.007843137718737125,
    "zero_point": 127,
    "colour": "RGB",
}
OUTPUT: Final = {"shape": [1, 3], "dtype": "uint8", "scale": 0.0941176488995552, "zero_point": 85}
MANIFEST: Final[Mapping[str, Any]] = {
    "schema": 1,
    "name": "tiny",
    "version": "1",
    "task": "classifier",
    "input": INPUT,
    "output": OUTPUT,
    "crop_margin": 0.25,
    "calibration": {"temperature": 4.0, "bias": [0.0, 0.0, 0.0]},
    "thresholds": {"mask": 0.5},
}
GOLDEN: Final = (("green.png", GREEN_BGR, "mask", 0.995), ("red.png", RED_BGR, "no_mask", 0.002))


def plain(colour_bgr: tuple[int, int, int], height: int = SIDE_PX, width: int = SIDE_PX) -> ImageU8:
    """(height, width, 3) uint8 BGR of one colour."""
    return np.full((height, width, 3), colour_bgr, np.uint8)


def png(image_bgr: ImageU8) -> bytes:
    return cv2.imencode(".png", image_bgr)[1].tobytes()


def golden_files() -> dict[str, bytes]:
    inputs = [{"file": file, "label": label, "p_mask": p_mask} for file, _, label, p_mask in GOLDEN]
    pictures = {f"golden/{file}": png(plain(colour)) for file, colour, _, _ in GOLDEN}
    return {"golden/expected.json": json.dumps({"inputs": inputs}).encode(), **pictures}


def make_bundle(folder: Path, contents: Mapping[str, bytes] | None = None, **changes: Any) -> Path:
    """A bundle whose hashes are right.

    contents: of files that differ or come on top, by name; changes: other keys of the manifest.
    """
    labels = b"mask\nno_mask\nincorrect\n"
    held = {"model.tflite": MODEL, "labels.txt": labels, "CARD.md": b"# tiny\n", **golden_files(), **(contents or {})}
    for name, data in held.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in held.items()}
    (folder / "bundle.json").write_text(json.dumps({**MANIFEST, "files": listed, **changes}))
    return folder


def looping_bundle(folder: Path, name: str, model: bytes, contents: Mapping[str, bytes] | None = None) -> Path:
    """Around a model of ``tests.make_tiny_models.looping``: its self-test passes, as its golden crops are plain."""
    flat = {"scale": 0.0, "zero_point": 0}
    inputs = [{"file": file, "label": "no_mask", "p_mask": 1 / 3} for file, *_ in GOLDEN]
    held = {"model.tflite": model, "golden/expected.json": json.dumps({"inputs": inputs}).encode(), **(contents or {})}
    return make_bundle(folder, held, name=name, input={**INPUT, **flat}, output={**OUTPUT, **flat})


def tiny(folder: Path, **changes: Any) -> Bundle:
    return load_bundle(make_bundle(folder, **changes))
