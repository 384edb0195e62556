"""How good a set of answers is, with an interval. Arithmetic only: logits and labels in, numbers out.

"Balanced accuracy" is the mean of two recalls, mask and no_mask, at p_mask >= threshold; a badly worn mask is reported
apart, as the share called ``mask``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.faces.manifest import LABELS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MASK_AT, BARE_AT, INCORRECT_AT = range(len(LABELS))


@dataclass(frozen=True, slots=True)
class Calibration:
    """From logits to probabilities: softmax((logits + bias) / temperature)."""

    temperature: float = 1.0
    bias: tuple[float, ...] = (0.0,) * len(LABELS)


def probabilities(logits: Floats, calibration: Calibration) -> Floats:
    """(n, 3) probabilities in the order of ``LABELS``."""
    z = (np.asarray(logits, np.float64) + np.array(calibration.bias)) / calibration.temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    shares: Floats = e / e.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True, slots=True)
class Score:
    """Recalls and shares, 0-1; NaN where a class is absent."""

    balanced: float
    mask_right: float
    bare_right: float
    incorrect_called_mask: float


def score(p_mask: Floats, labels: Ints, threshold: float = 0.5) -> Score:
    """p_mask: (n,) 0-1. labels: (n,) indices into ``LABELS``."""
    said_mask = p_mask >= threshold
    called = [_mean(said_mask[labels == i]) for i in range(len(LABELS))]
    mask_right, bare_right = called[MASK_AT], 1 - called[BARE_AT]
    return Score((mask_right + bare_right) / 2, mask_right, bare_right, called[INCORRECT_AT])


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")


def expected_calibration_error(p_mask: Floats, labels: Ints, bins: int = 10) -> float:
    """Mean distance of p_mask from the share of masks, over equal bins of p_mask."""
    is_mask = labels == MASK_AT
    place = np.minimum((p_mask * bins).astype(int), bins - 1)
    gaps = [abs(float((p_mask - is_mask)[place == b].sum())) for b in range(bins)]
    return sum(gaps) / max(1, len(labels))


def bootstrap(
    p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float, seed: int = 1
) -> tuple[float, float]:
    """95 % interval of balanced accuracy, drawing whole groups: faces of one group are not independent."""
    said = p_mask >= threshold
    names = {g: i for i, g in enumerate(dict.fromkeys(groups))}
    at = np.array([names[g] for g in groups])
    cells = [np.bincount(at, (labels == c) & (said == right), len(names)) for c, right in _CELLS]
    table = np.stack(cells, axis=1)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(1000):
        right_mask, wrong_mask, right_bare, wrong_bare = table[rng.integers(0, len(table), len(table))].sum(axis=0)
        if right_mask + wrong_mask and right_bare + wrong_bare:
            draws.append((right_mask / (right_mask + wrong_mask) + right_bare / (right_bare + wrong_bare)) / 2)
    if not draws:
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


_CELLS = ((MASK_AT, True), (MASK_AT, False), (BARE_AT, False), (BARE_AT, True))


def calibrate(logits: Floats, labels: Ints, weights: Floats) -> Calibration:
    """The temperature and the bias of ``mask`` that make the held-out answers, mask or not, most likely.

    weights: (n,) how much each face counts. Logits are uneven between classes because training draws them evenly and a
    door does not; the bias mends that.
    """

    def best_at(bias: float) -> tuple[float, Calibration]:
        moved = (float(bias), *(0.0,) * (len(LABELS) - 1))
        log_t = least(lambda at: _surprise(logits, labels, weights, Calibration(math.exp(at), moved)), -1.5, 1.5)
        found = Calibration(round(math.exp(log_t), 4), tuple(round(b, 4) for b in moved))
        return _surprise(logits, labels, weights, found), found

    return min((best_at(bias) for bias in np.arange(-1.0, 3.01, 0.1)), key=lambda pair: pair[0])[1]


def _surprise(logits: Floats, labels: Ints, weights: Floats, calibration: Calibration) -> float:
    """Weighted mean of -log p of what is true, mask or not."""
    p_mask = np.clip(probabilities(logits, calibration)[:, MASK_AT], 1e-6, 1 - 1e-6)
    of_truth = np.where(labels == MASK_AT, p_mask, 1 - p_mask)
    return float(-(weights * np.log(of_truth)).sum() / weights.sum())


def least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is least, by golden-section search to a hundredth."""
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 0.01:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if function(left) < function(right) else (left, high)
    return (low + high) / 2
