"""A run made into a model, and all that is measured of it before it may ship."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from edge.bundle import load_bundle
from edge.errors import DataError, EdgeError
from edge.interpreter import Interpreter, Tensor
from edge.places import SHIPPED_BUNDLE, shipped_models
from edge.records import ImageU8
from trainer.faces.manifest import FaceRow, read_manifest, refuse_straddling
from trainer.judge.costs import Costs, cheapest_threshold
from trainer.judge.evaluate import AT_A_DOOR, agreement, as_json, class_weights, report_of, true_labels
from trainer.judge.looks import Look, looks
from trainer.judge.models import dequantise, raw_answers
from trainer.learn import kept, network, runs
from trainer.learn.division import NONE, divided, held_out_of
from trainer.learn.recipes import MOBILENET_V2
from trainer.learn.recipes.mobilenet_v2 import making
from trainer.metrics import BARE_AT, MASK_AT, Calibration, Floats, Ints, calibrate, cross_calibrated, probabilities
from trainer.ship import edgetpu, gates, runtimes
from trainer.ship.gates import Gate
from trainer.ship.latency import race
from trainer.ship.quantize import check_input, representative_crops, to_float, to_int8

INT8, FLOAT16, FLOAT32 = "int8", "float16", "float32"
WEIGHT_BYTES: Final = {INT8: 1, FLOAT16: 2, FLOAT32: 4}
STAGES: Final = 5  # ticks of ``export_run``


@dataclass(frozen=True, slots=True)
class Asked:
    """kind: ``int8``, ``float16`` or ``float32``. tflite_python: a Python with tflite-runtime, or None.

    compiler: the Edge TPU's, where a compiled model is wanted too. latency_limit: times the shipped model's.
    """

    kind: str = INT8
    tflite_python: Path | None = None
    compiler: Path | None = None
    latency_limit: float = gates.SLOWER


@dataclass(frozen=True, slots=True)
class Export:
    """A converted model and how it does: figures of what ships, and of the float network, on held-out faces.

    The shipped calibration is fitted on all held-out faces. Figures come from calibrations that did not see the face.
    threshold: from this p_mask on a face is called ``mask``; where one face of each class costs least (``Costs()``), by
    shares of calibrations that did not see the face.
    agreement: share of held-out faces with the same answer from both. compiled: for an Edge TPU, where asked for.
    """

    model: bytes
    input: Tensor
    output: Tensor
    calibration: Calibration
    threshold: float
    figures: dict[str, Any]
    float_figures: dict[str, Any]
    agreement: float
    kind: str = INT8
    gates: tuple[Gate, ...] = ()
    compiled: edgetpu.Compiled | None = None


@dataclass(frozen=True, slots=True)
class Faces:
    """Held-out faces. crops: (n, side, side, 3) uint8 RGB as the device makes them."""

    rows: Sequence[FaceRow]
    crops: ImageU8
    looks: Sequence[Look]
    labels: Ints

    @property
    def weights(self) -> Floats:
        return class_weights(self.labels, AT_A_DOOR)

    @property
    def groups(self) -> list[str]:
        return [r.group for r in self.rows]


def export_run(
    folder: Path, data: Path, asked: Asked = Asked(), tick: Callable[[int], None] = lambda _: None
) -> Export:
    """Convert a run's kept weights and measure the result; nothing is refused here but what cannot be measured."""
    run = exportable(folder)
    rows = judging_rows(data, run.settings.leave_out)
    runs.refuse_other_set(run, data)
    real = kept.load_best(folder, run.settings)
    tick(1)
    model = convert(real, run, data, asked.kind)
    tick(1)
    faces = Faces(rows, kept.crops_of(run.settings, data, rows), looks(data, rows), true_labels(rows))
    tick(1)
    return measured(model, kept.logits_of(real, faces.crops), faces, asked, tick)


def exportable(folder: Path) -> runs.Run:
    """Raises DataError for a run whose network is a yardstick and no model for a door."""
    run = runs.read_run(folder)
    if run.settings.recipe != MOBILENET_V2:
        raise DataError(
            f"run {folder} is of recipe {run.settings.recipe}, a yardstick that knows no badly worn masks: "
            f"train with --recipe {MOBILENET_V2} to export"
        )
    return run


def judging_rows(data: Path, leave_out: Sequence[str]) -> list[FaceRow]:
    """The held-out faces of sources that take part. Raises DataError where they cannot judge an export."""
    every = read_manifest(data)
    refuse_straddling(every)
    rows = held_out_of(every, leave_out)
    present = {r.label_index for r in rows}
    if not {MASK_AT, BARE_AT} <= present:
        found = sorted({r.label for r in rows}) or "no"
        beside = f" beside those of {', '.join(leave_out)}, left out" if leave_out else ""
        raise DataError(
            f"{data} has {found} held-out faces{beside}, and an export is judged by masked and bare ones: "
            "prepare the set again with a larger --share, or with more people"
        )
    return rows


def convert(real: network.Model, run: runs.Run, data: Path, kind: str) -> bytes:
    if kind != INT8:
        return to_float(real, half=kind == FLOAT16)
    parts = divided(data, run.division.unseen or (NONE,), run.settings.leave_out)
    return to_int8(real, representative_crops(parts.training, making(run.settings, data)))


def measured(model: bytes, real: Floats, faces: Faces, asked: Asked, tick: Callable[[int], None]) -> Export:
    """real: (n, labels) logits of the float network for the same faces."""
    interpreter = Interpreter(model)
    if asked.kind == INT8:
        check_input(interpreter.input)
    inputs = fed(faces.crops, interpreter.input)
    own = dequantise(raw_answers(interpreter, inputs), interpreter.output)
    tick(1)
    calibration = calibrate(own, faces.labels, faces.weights)
    p_own, p_real = (probabilities(x, calibration)[:, MASK_AT] for x in (own, real))
    shares, real_shares = (cross_calibrated(x, faces.labels, faces.weights, faces.groups) for x in (own, real))
    threshold = cheapest_threshold(shares[:, MASK_AT], faces.labels, faces.groups, Costs())
    reading = Reading(interpreter.output, calibration, threshold)
    compiled = edgetpu.compile_model(model, asked.compiler) if asked.compiler else None
    found = [
        gates.better_than_guessing(shares[:, MASK_AT], faces.labels, faces.groups, threshold),
        gates.same_labels(f"{asked.kind}: same label as float", p_own, p_real, threshold, gates.AS_FLOAT),
        gates.keeps_balance(asked.kind, shares[:, MASK_AT], real_shares[:, MASK_AT], faces.labels, threshold),
        *runtime_gates(model, inputs, p_own, reading, asked.tflite_python),
        gates.small_enough(model, WEIGHT_BYTES[asked.kind]),
        latency_gate(interpreter, asked),
    ]
    if asked.kind == INT8:
        found.append(gates.edgetpu_ready(edgetpu.obstacles(edgetpu.read_operators(model))))
    if compiled:
        found.append(gates.edgetpu_compiled(compiled))
    tick(1)
    return Export(
        model=model,
        input=interpreter.input,
        output=interpreter.output,
        calibration=calibration,
        threshold=threshold,
        figures=figures(asked.kind, shares, faces, threshold),
        float_figures=figures("float", real_shares, faces, threshold),
        agreement=agreement(p_own, p_real, threshold),
        kind=asked.kind,
        gates=tuple(found),
        compiled=compiled,
    )


def fed(crops: ImageU8, tensor: Tensor) -> npt.NDArray[Any]:
    """What a model is given for these crops: the pixels, or what the float network takes."""
    return crops if tensor.dtype == "uint8" else network.scale(crops)


def figures(name: str, shares: Floats, faces: Faces, threshold: float) -> dict[str, Any]:
    """shares: each face's by a calibration that was fitted without it and without its group."""
    return as_json(report_of(name, shares, faces.rows, threshold, faces.looks))


@dataclass(frozen=True, slots=True)
class Reading:
    """From a model's own numbers to p_mask, and from there to a label."""

    output: Tensor
    calibration: Calibration
    threshold: float

    def p_mask(self, raw: npt.NDArray[Any]) -> Floats:
        return probabilities(dequantise(raw, self.output), self.calibration)[:, MASK_AT]


def runtime_gates(
    model: bytes, inputs: npt.NDArray[Any], p_own: Floats, reading: Reading, python: Path | None
) -> Iterator[Gate]:
    """Other runtimes' answers beside p_own, those of the runtime in use here with its default kernels."""
    for said in (runtimes.plain_kernels(model, inputs), runtimes.tflite_runtime(model, inputs, python)):
        yield runtime_gate(said, p_own, reading)


def runtime_gate(said: runtimes.Said, p_own: Floats, reading: Reading) -> Gate:
    """Not run only where there was no runtime to ask: a model that it makes nothing of has failed."""
    name = f"labels on {said.runtime}"
    if said.raw is not None:
        return gates.same_labels(name, reading.p_mask(said.raw), p_own, reading.threshold, gates.SAME_ON_RUNTIMES)
    unanswered = gates.no_answer if said.asked else gates.not_run
    return unanswered(name, gates.SAME_ON_RUNTIMES, said.why_not, said.words)


def latency_gate(interpreter: Interpreter, asked: Asked) -> Gate:
    """A race of integers against the model that came with this version, where it is there."""
    if asked.kind != INT8:
        return gates.not_raced(asked.latency_limit, "floats are not raced with the shipped integers")
    try:
        shipped = load_bundle(shipped_models() / SHIPPED_BUNDLE)
    except EdgeError:
        return gates.not_raced(asked.latency_limit, "the shipped model is not there to race with")
    return gates.fast_enough(race(interpreter, Interpreter(shipped.model)), asked.latency_limit)
