"""A bundle, a bare ``.tflite`` file or a run's float network, each as a model that answers crops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.bundle import load_bundle
from edge.errors import DataError, InputMissing
from edge.interpreter import Interpreter
from edge.records import ImageU8
from trainer.faces.manifest import LABELS
from trainer.learn import fit, runs
from trainer.metrics import Calibration, Floats
from trainer.ship.quantize import dequantise, raw_answers

DEFAULT_MARGIN: Final = 0.2  # of a bare .tflite file, which does not say


@dataclass(frozen=True, slots=True)
class Judged:
    """name: as reports show it. logits: (n, size_px, size_px, 3) uint8 RGB to (n, labels)."""

    name: str
    size_px: int
    margin: float
    calibration: Calibration
    threshold: float
    logits: Callable[[ImageU8], Floats]


def open_model(path: Path) -> Judged:
    """Raises InputMissing or DataError where ``path`` is none of the three."""
    if (path / "bundle.json").is_file():
        return _bundle(path)
    if (path / runs.RUN).is_file():
        return _run(path)
    if path.suffix == ".tflite" and path.is_file():
        return _tflite(path)
    if path.exists():
        raise DataError(f"{path} is no model: name a bundle folder, a run folder or a .tflite file")
    raise InputMissing(f"no model at {path}: name a bundle folder, a run folder or a .tflite file")


def _bundle(path: Path) -> Judged:
    bundle = load_bundle(path)
    if bundle.labels != LABELS:
        raise DataError(f"{path} has labels {bundle.labels}; only {LABELS} can be judged by this version")
    calibration = Calibration(bundle.calibration.temperature, bundle.calibration.bias)
    answer = _answers(Interpreter(bundle.model))
    return Judged(bundle.tag, bundle.input.shape[1], bundle.crop_margin, calibration, bundle.threshold, answer)


def _tflite(path: Path) -> Judged:
    interpreter = Interpreter(path.read_bytes())
    if interpreter.output.shape != (1, len(LABELS)) or interpreter.input.dtype != "uint8":
        raise DataError(
            f"{path} takes {interpreter.input} and gives {interpreter.output}: uint8 and 3 labels are needed"
        )
    return Judged(path.name, interpreter.input.shape[1], DEFAULT_MARGIN, Calibration(), 0.5, _answers(interpreter))


def _answers(interpreter: Interpreter) -> Callable[[ImageU8], Floats]:
    return lambda crops: dequantise(raw_answers(interpreter, crops), interpreter.output)


def _run(path: Path) -> Judged:
    settings = runs.read_run(path).settings
    model = fit.load_best(path, settings)
    name = f"{path.name} (float)"
    return Judged(name, settings.input_px, settings.margin, Calibration(), 0.5, lambda c: fit.logits_of(model, c))
