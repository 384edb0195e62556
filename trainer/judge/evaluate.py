"""How well a model does on a prepared set: overall, by class, and on slices where models of this kind fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError
from trainer.faces.crops import plain_crops
from trainer.faces.labels import LABELS
from trainer.faces.manifest import FaceRow, read_manifest, refuse_straddling
from trainer.judge import slices
from trainer.judge.costs import Costs, Point, Sweep, sweep
from trainer.judge.curves import Curve, Curves, curves
from trainer.judge.looks import Look
from trainer.judge.models import Judged
from trainer.judge.slices import Slice, number
from trainer.metrics import (
    BARE_AT,
    MASK_AT,
    Bin,
    Floats,
    Ints,
    Score,
    bootstrap,
    calibration_diagram,
    expected_calibration_error,
)

CHUNK: Final = 256
AT_A_DOOR: Final = (0.45, 0.45, 0.10)  # mask, no_mask, incorrect: what calibration takes as usual
HIGH_ECE: Final = 0.05  # above it a p_mask cannot be taken at its word


@dataclass(frozen=True, slots=True)
class Report:
    """Shares 0-1, NaN where a class is absent. whole: all faces as one slice. slices: by name.

    ci95: of balanced accuracy, as ``metrics.balanced_interval`` tells; NaN also where a class has less than two groups.
    """

    model: str
    threshold: float
    ece: float
    ci95: tuple[float, float]
    whole: Slice
    slices: dict[str, Slice]

    @property
    def n(self) -> int:
        return self.whole.n

    @property
    def score(self) -> Score:
        return self.whole.score

    @property
    def counts(self) -> tuple[int, ...]:
        """Faces by label, in the order of ``LABELS``."""
        return self.whole.counts


@dataclass(frozen=True, slots=True)
class Detail:
    """What a person who chooses a threshold, or doubts a model, wants to know beyond a ``Report``.

    mask_or_not: (3, 2) faces by true label and by ``mask``, ``no_mask`` as called. three_labels: (3, 3) likewise, where
    what is not called ``mask`` is ``no_mask`` or ``incorrect``, whichever is likelier: as the device tells ``worn``.
    notes: what to keep in mind, a sentence each.
    """

    mask_or_not: tuple[tuple[int, ...], ...]
    three_labels: tuple[tuple[int, ...], ...]
    curves: Curves
    diagram: list[Bin]
    sweep: Sweep
    notes: tuple[str, ...]


def faces(folder: Path, split: str) -> list[FaceRow]:
    """Rows of one split of a prepared set, or of ``all``; a set in which a group straddles the split is refused."""
    every = read_manifest(folder)
    refuse_straddling(every)
    rows = [r for r in every if split in ("all", r.split)]
    if not rows:
        raise DataError(f"{folder} has no face in split {str(split)!r}: --split is held_out, train or all")
    return rows


def answers(
    model: Judged, folder: Path, rows: Sequence[FaceRow], tick: Callable[[int], None] = lambda _: None
) -> Floats:
    """(n, labels) logits of the crops that the device would make."""
    parts = []
    for at in range(0, len(rows), CHUNK):
        part = rows[at : at + CHUNK]
        parts.append(model.logits(plain_crops(folder, part, model.margin, model.size_px)))
        tick(len(part))
    return np.concatenate(parts)


def true_labels(rows: Sequence[FaceRow]) -> Ints:
    """(n,) indices into ``LABELS``."""
    return np.array([r.label_index for r in rows])


def report_of(
    name: str, shares: Floats, rows: Sequence[FaceRow], threshold: float, looks: Sequence[Look] = ()
) -> Report:
    """shares: (n, labels) probabilities, of one calibration or of ``metrics.cross_calibrated``."""
    p_mask, labels, groups = shares[:, MASK_AT], true_labels(rows), [r.group for r in rows]
    return Report(
        model=name,
        threshold=threshold,
        ece=expected_calibration_error(p_mask, labels),
        ci95=bootstrap(p_mask, labels, groups, threshold),
        whole=slices.measure(p_mask, labels, groups, threshold),
        slices=slices.cut(p_mask, labels, rows, threshold, looks),
    )


def detail_of(
    shares: Floats, rows: Sequence[FaceRow], said: Report, costs: Costs, notes: tuple[str, ...] = ()
) -> Detail:
    """shares: (n, labels) probabilities, those that ``said`` was made of. notes: that come before its own."""
    p_mask, labels = shares[:, MASK_AT], true_labels(rows)
    called = np.where(p_mask >= said.threshold, MASK_AT, BARE_AT + shares[:, BARE_AT:].argmax(axis=1))
    drawn = curves(p_mask, labels)
    return Detail(
        mask_or_not=_table(labels, np.minimum(called, BARE_AT), 2),
        three_labels=_table(labels, called, len(LABELS)),
        curves=drawn,
        diagram=calibration_diagram(p_mask, labels),
        sweep=sweep(p_mask, labels, [r.group for r in rows], said.threshold, costs),
        notes=(*notes, *_notes(said, drawn)),
    )


def _table(labels: Ints, called: Ints, width: int) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(int(((labels == true) & (called == as_what)).sum()) for as_what in range(width))
        for true in range(len(LABELS))
    )


def _notes(said: Report, drawn: Curves) -> Iterator[str]:
    absent = [label for label, n in zip(LABELS, said.counts, strict=True) if not n]
    if absent:
        yield f"no face is {' or '.join(absent)}: what would need them is left out"
    if math.isnan(said.ci95[0]) and not math.isnan(said.score.balanced):
        yield "no interval of balanced accuracy: a class has fewer than two groups (people or scenes)"
    if drawn.roc is None:
        yield "ROC and precision-recall need masked and bare faces: they are undefined here"
    if said.ece > HIGH_ECE:
        yield f"the model's p_mask is off by {said.ece:.3f} on average: it is not to be taken at its word here"
    thin = slices.thin(said.slices)
    if thin:
        yield f"fewer than {slices.FEW} faces of a class in {len(thin)} slices: read their intervals, not their shares"
    if any(name.startswith("skin:") for name in said.slices):
        yield "skin tone is a proxy, read from the pixels: light and white balance disturb it"


def as_json(r: Report) -> dict[str, Any]:
    """The contract's object; NaN (a class that is not there) becomes null."""
    shares, intervals = slices.shares_right(r.score), slices.intervals_right(r.whole)
    each = zip(LABELS, r.counts, r.whole.group_counts, shares, intervals, strict=True)
    return {
        "model": r.model,
        "n": r.n,
        "balanced_accuracy": number(r.score.balanced),
        "ci95": [number(v) for v in r.ci95],
        "per_class": {
            label: {"count": n, "n": n, "groups": g, "recall": number(recall), "ci95": [number(end) for end in ends]}
            for label, n, g, recall, ends in each
            if n
        },
        "incorrect_called_mask": number(r.score.incorrect_called_mask),
        "ece": number(r.ece),
        "threshold": r.threshold,
        "slices": {name: slices.as_json(each) for name, each in r.slices.items()},
    }


def detail_as_json(d: Detail) -> dict[str, Any]:
    """What ``trainer evaluate --json`` adds."""
    return {
        "confusion": {
            "mask_or_not": _named(d.mask_or_not, LABELS[:2]),
            "three_labels": _named(d.three_labels, LABELS),
        },
        "roc_auc": _area(d.curves.roc),
        "average_precision": _area(d.curves.precision_recall),
        "roc_auc_badly_worn": _area(d.curves.roc_badly_worn),
        "curves": {
            "roc": _curve(d.curves.roc, "bare_called_mask", "mask_right"),
            "precision_recall": _curve(d.curves.precision_recall, "recall", "precision"),
            "roc_badly_worn": _curve(d.curves.roc_badly_worn, "badly_worn_called_mask", "mask_right"),
        },
        "calibration": [_rounded(asdict(b)) for b in d.diagram],
        "sweep": {
            "costs": {"masked_called_no_mask": 1.0, "bare_called_mask": d.sweep.costs.missed}
            | {"badly_worn_called_mask": d.sweep.costs.worn},
            "used": _point(d.sweep.used),
            "cheapest": _point(d.sweep.cheapest) if d.sweep.is_choice else None,
            "saving": number(d.sweep.saving) if d.sweep.is_choice else None,
            "saving_ci95": [number(v) if d.sweep.is_choice else None for v in d.sweep.ci95],
            "points": [_point(p) for p in d.sweep.points],
        },
        "notes": list(d.notes),
    }


def _named(table: Sequence[Sequence[int]], called: Sequence[str]) -> dict[str, dict[str, int]]:
    return {true: dict(zip(called, row, strict=True)) for true, row in zip(LABELS, table, strict=True)}


def _area(curve: Curve | None) -> float | None:
    return None if curve is None else number(curve.area)


def _curve(curve: Curve | None, x: str, y: str) -> dict[str, list[float]] | None:
    return None if curve is None else {x: list(curve.x), y: list(curve.y)}


def _point(point: Point) -> dict[str, float | None]:
    return {
        "threshold": point.threshold,
        "mask_recall": number(1 - point.mask_wrong),
        "no_mask_recall": number(1 - point.bare_wrong),
        "incorrect_called_mask": number(point.incorrect_wrong),
        "cost": number(point.cost),
    }


def _rounded(held: dict[str, Any]) -> dict[str, Any]:
    return {k: _rounded_value(v) for k, v in held.items()}


def _rounded_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [number(v) for v in value]
    return number(value) if isinstance(value, float) else value


def agreement(first: Floats, second: Floats, threshold: float) -> float:
    """Share of faces that get the same answer (mask or not) from two sets of p_mask."""
    return float(((first >= threshold) == (second >= threshold)).mean())


def class_weights(labels: Ints, shares: Sequence[float]) -> Floats:
    """Weights of faces so that each class counts by its share, however many faces it has."""
    counts = np.maximum(1, np.bincount(labels, minlength=len(LABELS)))
    weights: Floats = np.array(shares)[labels] / counts[labels]
    return weights
