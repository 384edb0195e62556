"""Mask or not: one face of one frame to a Reading."""

from __future__ import annotations

import time
from collections import deque
from statistics import median
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edge.bundle import Bundle, TensorSpec
from edge.errors import DataError
from edge.interpreter import Interpreter, Tensor
from edge.preprocess import crop_face
from edge.records import INCORRECT, MASK, NO_MASK, AcceleratorTrouble, Box, ImageU8, Reading

LATEST: Final = 200  # faces over which the latency is told


class Judge(Protocol):
    """Who tells a mask: on this machine's CPU (``Classifier``), or wherever the policy has it (``Accelerated``).

    model: the bundle's tag, as events carry it. runtime: name and version of what runs it now. threshold: see Bundle.
    reads: faces judged so far. latency_ms: of one of them, the median of the latest; None before the first.
    """

    @property
    def model(self) -> str: ...

    @property
    def runtime(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    @property
    def reads(self) -> int: ...

    @property
    def latency_ms(self) -> float | None: ...

    def read(self, image_bgr: ImageU8, box: Box) -> Reading | None:
        """Judge the face at ``box``; None where nothing is there to judge it."""

    def tend(self) -> AcceleratorTrouble | None:
        """Called about once a second, takes no time to speak of: what is wrong with the accelerator, if anything."""

    def close(self) -> None: ...


class Runs(Protocol):
    """A model that runs: see Interpreter."""

    runtime: str
    input: Tensor
    output: Tensor

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]: ...


class Classifier:
    """A bundle's model at work. Raises DataError where the bundle and its model disagree.

    interpreter: that runs it; None takes ``model.tflite`` and the CPU, with so many threads.
    model: the bundle's tag, as events carry it. runtime: name and version of the TFLite runtime in use.
    reads: faces judged so far.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, interpreter: Runs | None = None) -> None:
        self._bundle = bundle
        self._interpreter: Runs = interpreter or Interpreter(bundle.model, threads)
        check_tensor(bundle, "input", bundle.input, self._interpreter.input)
        check_tensor(bundle, "output", bundle.output, self._interpreter.output)
        self.model, self.runtime = bundle.tag, self._interpreter.runtime
        self.threshold = bundle.threshold
        self.reads = 0
        self._took_ms: deque[float] = deque(maxlen=LATEST)

    @property
    def latency_ms(self) -> float | None:
        """Of one face, from the picture to the reading: the median of the latest; None before the first."""
        return median(self._took_ms) if self._took_ms else None

    def read(self, image_bgr: ImageU8, box: Box) -> Reading:
        """Judge the face at ``box``. image_bgr: (height, width, 3) uint8; the box must touch it."""
        began_s = time.perf_counter()
        reading = self.read_crop(crop_face(image_bgr, box, self._bundle.crop_margin, self._bundle.input.shape[1]))
        self._took_ms.append(1000 * (time.perf_counter() - began_s))
        self.reads += 1
        return reading

    def read_crop(self, crop_rgb: ImageU8) -> Reading:
        """Judge a crop of the model's own size, (side, side, 3) uint8 RGB."""
        return to_reading(self.raw(crop_rgb), self._bundle)

    def raw(self, crop_rgb: ImageU8) -> npt.NDArray[np.uint8]:
        """The model's own answer, (labels,) uint8 quantised logits."""
        output: npt.NDArray[np.uint8] = self._interpreter.run(crop_rgb[np.newaxis])[0]
        return output

    def tend(self) -> AcceleratorTrouble | None:
        """A CPU does not go away."""
        return None

    def close(self) -> None:
        """Memory alone is held."""


def to_reading(raw: npt.NDArray[Any], bundle: Bundle) -> Reading:
    """Quantised logits to calibrated probabilities. raw: (labels,) uint8."""
    # Widened first: 8-bit arithmetic would wrap around when the zero point is taken away.
    logits = bundle.output.scale * (raw.astype(np.int32) - bundle.output.zero_point)
    scaled = (logits + np.array(bundle.calibration.bias)) / bundle.calibration.temperature
    shares = np.exp(scaled - scaled.max())
    shares /= shares.sum()
    by_label = dict(zip(bundle.labels, map(float, shares), strict=True))
    incorrect = by_label.get(INCORRECT, 0.0)
    rest = by_label[NO_MASK] + incorrect  # not 1 - p_mask, which loses all its digits where the model is sure
    return Reading(by_label[MASK], incorrect / rest if rest > 0 else 0.0)


def check_tensor(bundle: Bundle, which: str, said: TensorSpec, found: Tensor) -> None:
    same = (said.shape, said.dtype, said.zero_point) == (found.shape, found.dtype, found.zero_point)
    if not (same and np.isclose(said.scale, found.scale, rtol=1e-4)):
        raise DataError(
            f"bundle {bundle.path}: bundle.json says {which} {said}, the model has {found}", "export it again"
        )
