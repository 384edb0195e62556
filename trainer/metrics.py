"""How good a set of answers is, with an interval. Arithmetic only: logits and labels in, numbers out.

"Balanced accuracy" is the mean of two recalls, mask and no_mask, at p_mask >= threshold; a badly worn mask is reported
apart, as the share called ``mask``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.faces.labels import LABELS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MASK_AT, BARE_AT, INCORRECT_AT = range(len(LABELS))
Z95: Final = 1.959964
DRAWS: Final = 1000
FEWEST: Final = 10  # groups with a mistake, and groups without, from which on the bootstrap is believed


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


@dataclass(frozen=True, slots=True)
class Bin:
    """Faces whose p_mask lies in low..high: n of them, their mean p_mask, the share that wears a mask, its interval."""

    low: float
    high: float
    n: int
    said: float
    true: float
    ci95: tuple[float, float]


def calibration_diagram(p_mask: Floats, labels: Ints, bins: int = 10) -> list[Bin]:
    """Equal bins of p_mask, those without a face left out."""
    is_mask = labels == MASK_AT
    place = np.minimum((p_mask * bins).astype(int), bins - 1)
    found = []
    for b in np.unique(place).tolist():
        own, n = place == b, int((place == b).sum())
        interval = wilson(int(is_mask[own].sum()), n)
        found.append(Bin(b / bins, (b + 1) / bins, n, float(p_mask[own].mean()), float(is_mask[own].mean()), interval))
    return found


def expected_calibration_error(p_mask: Floats, labels: Ints, bins: int = 10) -> float:
    """Mean distance of p_mask from the share of masks, over equal bins of p_mask; 0-1."""
    diagram = calibration_diagram(p_mask, labels, bins)
    return sum(b.n * abs(b.said - b.true) for b in diagram) / max(1, len(labels))


def wilson(hits: float, n: int) -> tuple[float, float]:
    """95 % interval of a share, 0-1 (Wilson, 1927); NaN of nothing. What is counted is taken as independent: count
    groups where many faces come from one."""
    if not n:
        return float("nan"), float("nan")
    share, z2 = hits / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return min(share, max(0.0, middle - reach)), max(
        share, min(1.0, middle + reach)
    )  # rounding aside, it holds the share


def resampled(table: Floats, groups: Sequence[str], seed: int = 1) -> Iterator[Floats]:
    """Bootstrap over groups: ``DRAWS`` sums of the rows of ``table``, (n, k), whole groups drawn with replacement.

    Faces of one group are not independent; groups are.
    """
    names = {g: i for i, g in enumerate(dict.fromkeys(groups))}
    by_group = np.zeros((len(names), table.shape[1]))
    np.add.at(by_group, [names[g] for g in groups], table)
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield by_group[rng.integers(0, len(by_group), len(by_group))].sum(axis=0)


def interval(draws: Sequence[float] | Floats) -> tuple[float, float]:
    """The middle 95 % of bootstrap draws; NaN of none."""
    known = np.asarray(draws, np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def recall_draws(p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float, seed: int = 1) -> Floats:
    """(DRAWS, 2) recalls of mask and no_mask of redrawn groups; NaN where a draw lacks a class."""
    said = p_mask >= threshold
    cells = [(labels == c) & (said == right) for c, right in _CELLS]
    right_mask, wrong_mask, right_bare, wrong_bare = np.stack(
        list(resampled(np.stack(cells, axis=1).astype(float), groups, seed)), axis=1
    )
    with np.errstate(invalid="ignore"):
        recalls = right_mask / (right_mask + wrong_mask), right_bare / (right_bare + wrong_bare)
    draws: Floats = np.stack(recalls, axis=1)
    return draws


def balanced_interval(
    draws: Floats, p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float
) -> tuple[float, float]:
    """95 % interval of balanced accuracy; NaN where a class has fewer than two groups. draws: of ``recall_draws``.

    The bootstrap's own, where mistakes of both classes lie in ``FEWEST`` groups or more, and right answers too. With
    fewer it cannot know: redrawn groups without a mistake have none, and its interval no width. The recall of such a
    class gets the outer ends of its bootstrap and of Wilson's interval with the class's GROUPS as n, and the mean of
    both recalls the means of their ends, as if both were at their worst at once: wide rather than narrow.
    """
    known, ends = True, []
    for i, (label, right) in enumerate(((MASK_AT, p_mask >= threshold), (BARE_AT, p_mask < threshold))):
        own = labels == label
        n = _groups(groups, own)
        if n < 2:
            return float("nan"), float("nan")
        low, high = interval(draws[:, i])
        if min(_groups(groups, own & right), _groups(groups, own & ~right)) < FEWEST:
            known = False
            least_low, most_high = wilson(float(right[own].mean()) * n, n)
            low, high = min(low, least_low), max(high, most_high)
        ends.append((low, high))
    low, high = interval(draws.mean(axis=1))
    if known:
        return low, high
    (mask_low, mask_high), (bare_low, bare_high) = ends
    return min(low, (mask_low + bare_low) / 2), max(high, (mask_high + bare_high) / 2)


def _groups(groups: Sequence[str], which: npt.NDArray[np.bool_]) -> int:
    """How many groups have such a face."""
    return len(set(np.array(groups)[which].tolist()))


def bootstrap(
    p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float, seed: int = 1
) -> tuple[float, float]:
    """95 % interval of balanced accuracy, as ``balanced_interval`` tells."""
    draws = recall_draws(p_mask, labels, groups, threshold, seed)
    return balanced_interval(draws, p_mask, labels, groups, threshold)


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


def cross_calibrated(logits: Floats, labels: Ints, weights: Floats, groups: Sequence[str], seed: int = 1) -> Floats:
    """(n, labels) probabilities, each face's by a calibration that was fitted without it and without its group.

    Whole groups are dealt into two halves, stratified by label; each is answered with the calibration of the other.
    For ``trainer export``: the bundle ships ``calibrate`` of all held-out faces, and its card reports ECE, balanced
    accuracy and slices from here, as a figure of faces must not come from a calibration that saw them.
    A half that lacks masked or other faces fits nothing; the other half then keeps its uncalibrated answers.
    """
    second = _second_half(labels, groups, seed)
    answers = np.empty(np.shape(logits))
    for own in (second, ~second):
        fits = len(set((labels[~own] == MASK_AT).tolist())) == 2
        fitted = calibrate(logits[~own], labels[~own], weights[~own]) if fits else Calibration()
        answers[own] = probabilities(logits[own], fitted)
    return answers


def _second_half(labels: Ints, groups: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """(n,) bool: whole groups, dealt so that both halves have about as many faces of each label."""
    names = {g: i for i, g in enumerate(dict.fromkeys(groups))}
    at = np.array([names[g] for g in groups])
    counts = np.stack([np.bincount(at, labels == c, len(names)) for c in range(len(LABELS))], axis=1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]  # large groups first, small ones even out
    rarity = 1 / np.maximum(1, counts.sum(axis=0))
    ahead, second = np.zeros(len(LABELS)), np.zeros(len(names), bool)
    for group in order:
        second[group] = float((ahead * rarity**2) @ counts[group]) > 0
        ahead += counts[group] * (-1 if second[group] else 1)
    dealt: npt.NDArray[np.bool_] = second[at]
    return dealt


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
