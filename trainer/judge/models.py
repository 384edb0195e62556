"""A bundle, a bare ``.tflite`` file or a run's float network, each as a model that answers crops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.bundle import MANIFEST, Bundle, load_bundle, read_manifest, verify_bundle
from edge.errors import DataError, InputMissing
from edge.interpreter import Interpreter, Tensor
from edge.records import ImageU8
from trainer.faces.labels import LABELS
from trainer.judge import origins
from trainer.judge.origins import Origin
from trainer.learn import kept, network, runs
from trainer.metrics import Calibration, Floats

DEFAULT_MARGIN: Final = 0.2  # of a bare .tflite file, which does not say
SHIPPED: Final = "model.tflite"  # its name in a bundle
LOAD: Final = (
    "import sys; from pathlib import Path; from edge.interpreter import Interpreter;"
    "Interpreter(Path(sys.argv[1]).read_bytes())"
)
TFLITE_MARK: Final = b"TFL3"  # the format's identifier, in bytes 4 to 8


@dataclass(frozen=True, slots=True)
class Judged:
    """name: as reports show it. logits: (n, size_px, size_px, 3) uint8 RGB to (n, labels)."""

    name: str
    size_px: int
    margin: float
    calibration: Calibration
    threshold: float
    logits: Callable[[ImageU8], Floats]
    origin: Origin = field(default_factory=Origin)


def open_model(path: Path) -> Judged:
    """Raises InputMissing or DataError where ``path`` is none of the three.

    A ``.tflite`` that lies in its bundle is judged as the bundle is, with its margin, calibration and threshold.
    """
    if _is_bundle(path):
        return _bundle(path)
    if (path / runs.RUN).is_file():
        return open_run(path)
    if path.suffix == ".tflite" and path.is_file():
        return _bundle(path.parent) if path.name == SHIPPED and _is_bundle(path.parent) else _tflite(path)
    if path.exists():
        raise DataError(f"{path} is no model: name a bundle folder, a run folder or a .tflite file")
    raise InputMissing(f"no model at {path}: name a bundle folder, a run folder or a .tflite file")


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def _bundle(path: Path) -> Judged:
    bundle, training = _read_bundle(path)
    if bundle.labels != LABELS:
        raise DataError(f"{path} has labels {bundle.labels}; only {LABELS} can be judged by this version")
    calibration = Calibration(bundle.calibration.temperature, bundle.calibration.bias)
    answer = _answers(Interpreter(bundle.model))
    made_of = origins.of_bundle(training)
    return Judged(bundle.tag, bundle.input.shape[1], bundle.crop_margin, calibration, bundle.threshold, answer, made_of)


def _read_bundle(path: Path) -> tuple[Bundle, Any]:
    """As ``edge`` reads it, and float bundles too, which it refuses to run; and what it tells of its training."""
    manifest, tag, files = verify_bundle(path)
    try:
        if manifest["input"]["dtype"] != "float32":
            return load_bundle(path), manifest.get("training")
        labels = tuple(files["labels.txt"].decode(errors="replace").splitlines())
        return read_manifest(path, manifest, tag, labels, files[SHIPPED]), manifest.get("training")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"bundle {path}: {MANIFEST} lacks or garbles {error}: export it again") from error


def _tflite(path: Path) -> Judged:
    interpreter = Interpreter(_whole_model(path))
    shape, dtype = interpreter.input.shape, interpreter.input.dtype
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if not square or dtype not in ("uint8", "float32") or interpreter.output.shape != (1, len(LABELS)):
        raise DataError(
            f"{path} takes {dtype} {shape} and gives {interpreter.output.shape}: "
            f"a square picture in and {len(LABELS)} labels out are needed; export it with `trainer export`"
        )
    return Judged(path.name, shape[1], DEFAULT_MARGIN, Calibration(), 0.5, _answers(interpreter))


def _whole_model(path: Path) -> bytes:
    """The bytes of a bare model file, which has no hash to be held against."""
    data = path.read_bytes()
    if data[4:8] != TFLITE_MARK:
        raise DataError(f"{path} is no TFLite model ({len(data):,} bytes): copy or export it again")
    # tflite-runtime dies of a truncated model, past any except: so a child loads it first
    tried = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, check=False)
    if tried.returncode < 0:
        raise DataError(f"{path} ends the runtime that loads it, it is most likely cut short: copy or export it again")
    return data


def _answers(interpreter: Interpreter) -> Callable[[ImageU8], Floats]:
    """Integers are given pixels as they are, float models what the network was trained with."""
    if interpreter.input.dtype == "uint8":
        return lambda crops: dequantise(raw_answers(interpreter, crops), interpreter.output)
    return lambda crops: np.stack([interpreter.run(network.scale(c[np.newaxis]))[0] for c in crops]).astype(np.float64)


def raw_answers(interpreter: Interpreter, crops_rgb: ImageU8) -> npt.NDArray[Any]:
    """(n, labels) answers of a converted model in its own numbers, uint8 where it is integer."""
    return np.stack([interpreter.run(crop[np.newaxis])[0] for crop in crops_rgb])


def dequantise(raw: npt.NDArray[Any], output: Tensor) -> Floats:
    """Quantised answers to logits; widened first, or 8 bits would wrap around. Float answers stay as they are."""
    if output.scale == 0:
        return raw.astype(np.float64)
    logits: Floats = output.scale * (raw.astype(np.float64) - output.zero_point)
    return logits


def open_run(path: Path) -> Judged:
    """The float network that a run keeps, uncalibrated."""
    own, made_of = kept.open_run(path), origins.of_run(runs.read_run(path))
    name = f"{path.resolve().name} (float)"
    return Judged(name, own.size_px, own.margin, Calibration(), 0.5, own.logits, made_of)
