"""ROC and precision-recall: how well p_mask parts two kinds of faces, whatever the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainer.metrics import BARE_AT, INCORRECT_AT, MASK_AT, Floats, Ints

POINTS: Final = 200  # of a curve that is kept; more are not seen in a picture


@dataclass(frozen=True, slots=True)
class Curve:
    """x, y: shares 0-1. ROC: share of other faces called mask, share of masks found. Precision-recall: share of masks
    found, share of those called mask that wear one. area: under it (ROC), or average precision."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


@dataclass(frozen=True, slots=True)
class Curves:
    """Masked faces against bare ones, and against badly worn ones; None where a class is not there.

    In the precision both kinds count equally much, so that it does not depend on how many of each a set has.
    """

    roc: Curve | None
    precision_recall: Curve | None
    roc_badly_worn: Curve | None


def curves(p_mask: Floats, labels: Ints) -> Curves:
    """p_mask: (n,) 0-1. labels: (n,) indices into ``LABELS``."""
    return Curves(
        roc=_against(BARE_AT, p_mask, labels, _roc),
        precision_recall=_against(BARE_AT, p_mask, labels, _precision_recall),
        roc_badly_worn=_against(INCORRECT_AT, p_mask, labels, _roc),
    )


def _against(
    other: int, p_mask: Floats, labels: Ints, draw: Callable[[npt.NDArray[np.bool_], Floats, Floats], Curve]
) -> Curve | None:
    both = (labels == MASK_AT) | (labels == other)
    truth = labels[both] == MASK_AT
    if truth.all() or not truth.any():
        return None
    weights = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    return draw(truth, p_mask[both], weights)


def _roc(truth: npt.NDArray[np.bool_], p_mask: Floats, weights: Floats) -> Curve:
    from sklearn.metrics import roc_auc_score, roc_curve

    false, right, _ = roc_curve(truth, p_mask, sample_weight=weights)
    return _thinned(false, right, float(roc_auc_score(truth, p_mask)))


def _precision_recall(truth: npt.NDArray[np.bool_], p_mask: Floats, weights: Floats) -> Curve:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, p_mask, sample_weight=weights)
    return _thinned(recall, precision, float(average_precision_score(truth, p_mask, sample_weight=weights)))


def _thinned(x: npt.NDArray[Any], y: npt.NDArray[Any], area: float) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
    return Curve(tuple(np.round(x[kept], 4).tolist()), tuple(np.round(y[kept], 4).tolist()), area)
