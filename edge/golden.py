"""A bundle's self-test: does its model give on this machine what it gave where it was made?

``golden/expected.json``::

    {"runtime": "ai-edge-litert 2.3", "inputs": [{"file": "a.png", "label": "mask", "p_mask": 0.99, "raw": [9, 2, 3]}]}

Inputs are PNG crops of the model's own size. Kernels of different runtimes differ by a few counts, so labels must be
equal and probabilities near; equal bytes are not asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.bundle import Bundle, load_bundle, verify_bundle
from edge.classify import Classifier
from edge.errors import DataError
from edge.opencv import cv2
from edge.records import MASK, NO_MASK, ImageU8

EXPECTED: Final = "golden/expected.json"
P_TOLERANCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Golden:
    """One input and what is expected of it. label: ``mask`` or ``no_mask``; p_mask: 0-1."""

    file: str
    label: str
    p_mask: float


def check_golden(path: Path, threads: int = 1) -> str:
    """Verify a bundle, run its golden inputs, and say so in one line. Raises DataError where they do not agree."""
    bundle = load_bundle(path)
    classifier = Classifier(bundle, threads)
    cases = read_golden(bundle)
    if not cases:
        raise DataError(f"bundle {path}: {EXPECTED} lists no inputs, so nothing can be tested", "export it again")
    wrong = [w for case, crop in cases if (w := disagreement(case, crop, classifier))]
    if wrong:
        raise DataError(
            f"bundle {path}: self-test failed on {classifier.runtime}: {'; '.join(wrong)}", "do not use it here"
        )
    return f"{bundle.tag}: {len(cases)} golden inputs agree on {classifier.runtime}"


def read_golden(bundle: Bundle) -> list[tuple[Golden, ImageU8]]:
    """The golden inputs with their crops, (side, side, 3) uint8 RGB, from the checked bytes."""
    files = verify_bundle(bundle.path)[2]
    try:
        listed = json.loads(files[EXPECTED])["inputs"]
        cases = [Golden(str(c["file"]), str(c["label"]), float(c["p_mask"])) for c in listed]
        return [(case, decode_crop(files[f"golden/{case.file}"], bundle)) for case in cases]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"bundle {bundle.path}: {EXPECTED} lacks or garbles {error}", "export it again") from error


def decode_crop(data: bytes, bundle: Bundle) -> ImageU8:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None  # OpenCV raises on nothing
    if image is None or image.shape != bundle.input.shape[1:]:
        raise ValueError(f"a crop of {bundle.input.shape[1:]}")
    rgb: ImageU8 = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb


def disagreement(case: Golden, crop: ImageU8, classifier: Classifier) -> str | None:
    p_mask = classifier.read_crop(crop).p_mask
    label = MASK if p_mask >= classifier.threshold else NO_MASK
    if label == case.label and abs(p_mask - case.p_mask) <= P_TOLERANCE:
        return None
    return f"{case.file} gives {label} {p_mask:.3f} instead of {case.label} {case.p_mask:.3f}"
