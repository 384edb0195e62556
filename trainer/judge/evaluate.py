"""How well a model does on a prepared set: overall, by class, and on slices where models of this kind fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import LABELS, FaceRow, read_manifest
from trainer.judge.models import Judged
from trainer.learn.draws import HARD_BARE
from trainer.metrics import (
    Calibration,
    Floats,
    Ints,
    Score,
    bootstrap,
    expected_calibration_error,
    probabilities,
    score,
)

SIZES_PX: Final = ((0, 32), (32, 48), (48, 96), (96, 100_000))
CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Report:
    """Shares 0-1. ci95: of balanced accuracy, whole groups drawn. slices: by name, count and score."""

    model: str
    n: int
    threshold: float
    score: Score
    ece: float
    ci95: tuple[float, float]
    counts: tuple[int, ...]
    slices: dict[str, tuple[int, Score]]


def faces(folder: Path, split: str) -> list[FaceRow]:
    """Rows of one split of a prepared set, or of ``all``."""
    rows = [r for r in read_manifest(folder) if split in ("all", r.split)]
    if not rows:
        raise DataError(f"{folder} has no face in split {split!r}: choose another with --split")
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


def report(name: str, logits: Floats, rows: Sequence[FaceRow], calibration: Calibration, threshold: float) -> Report:
    p_mask = probabilities(logits, calibration)[:, 0]
    labels = np.array([r.label_index for r in rows])
    cut = {key: (int(where.sum()), score(p_mask[where], labels[where], threshold)) for key, where in slices(rows)}
    return Report(
        model=name,
        n=len(rows),
        threshold=threshold,
        score=score(p_mask, labels, threshold),
        ece=expected_calibration_error(p_mask, labels),
        ci95=bootstrap(p_mask, labels, [r.group for r in rows], threshold),
        counts=tuple(int((labels == i).sum()) for i in range(len(LABELS))),
        slices=cut,
    )


def slices(rows: Sequence[FaceRow]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Named subsets that are not empty, each as (n,) bool: by source, by size of the face, by what hides the face."""
    for source in sorted({r.source for r in rows}):
        yield f"source:{source}", np.array([r.source == source for r in rows])
    for low, high in SIZES_PX:
        inside = np.array([low <= r.shorter_px < high for r in rows])
        if inside.any():
            yield f"face_px:{low}-{high}" if high < SIZES_PX[-1][1] else f"face_px:{low}+", inside
    for flag in sorted(HARD_BARE):
        flagged = np.array([flag in r.flags.split() and r.label == "no_mask" for r in rows])
        if flagged.any():
            yield f"bare:{flag}", flagged


def as_json(r: Report) -> dict[str, Any]:
    """The contract's object; NaN (a class that is not there) becomes null."""
    recalls = (r.score.mask_right, r.score.bare_right, 1 - r.score.incorrect_called_mask)
    return {
        "model": r.model,
        "n": r.n,
        "balanced_accuracy": number(r.score.balanced),
        "ci95": [number(v) for v in r.ci95],
        "per_class": {
            label: {"n": count, "recall": number(recall)}
            for label, count, recall in zip(LABELS, r.counts, recalls, strict=True)
            if count
        },
        "incorrect_called_mask": number(r.score.incorrect_called_mask),
        "ece": number(r.ece),
        "threshold": r.threshold,
        "slices": {
            name: {
                "n": n,
                "mask_recall": number(s.mask_right),
                "no_mask_recall": number(s.bare_right),
                "incorrect_called_mask": number(s.incorrect_called_mask),
            }
            for name, (n, s) in r.slices.items()
        },
    }


def number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def as_lines(r: Report) -> Iterator[str]:
    """The same for a person to read."""
    low, high = r.ci95
    interval = f"95%: {share(low)} to {share(high)}"
    yield f"{r.model}: {r.n} faces, balanced {share(r.score.balanced)} ({interval}), ECE {r.ece:.3f}"
    yield f"{'':24}{'faces':>7}{'mask right':>12}{'bare right':>12}{'badly worn called mask':>25}"
    for name, (n, s) in {"all": (r.n, r.score), **r.slices}.items():
        cells = f"{share(s.mask_right):>12}{share(s.bare_right):>12}{share(s.incorrect_called_mask):>25}"
        yield f"{name:24}{n:>7}{cells}"


def share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def agreement(first: Floats, second: Floats, threshold: float) -> float:
    """Share of faces that get the same answer (mask or not) from two sets of p_mask."""
    return float(((first >= threshold) == (second >= threshold)).mean())


def class_weights(labels: Ints, shares: Sequence[float]) -> Floats:
    """Weights of faces so that each class counts by its share, however many faces it has."""
    counts = np.maximum(1, np.bincount(labels, minlength=len(LABELS)))
    weights: Floats = np.array(shares)[labels] / counts[labels]
    return weights
