"""A judgement as lines for a person at a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from trainer.faces.labels import LABELS
from trainer.judge.costs import Point, Sweep
from trainer.judge.curves import Curve
from trainer.judge.evaluate import Detail, Report
from trainer.judge.slices import Slice

SWEPT = tuple(round(0.1 * i, 1) for i in range(1, 10))  # thresholds that are printed, of all that were tried


def as_lines(said: Report, detail: Detail) -> Iterator[str]:
    low, high = said.ci95
    yield f"{said.model}: {said.n} faces, balanced {share(said.score.balanced)} (95%: {share(low)} to {share(high)})"
    roc, precision = detail.curves.roc, detail.curves.precision_recall
    yield f"ECE {said.ece:.3f}, ROC AUC {area(roc)}, average precision {area(precision)}"
    yield ""
    yield from confusion(detail)
    yield ""
    yield from swept(detail.sweep)
    yield ""
    yield from slice_lines(said)
    for note in detail.notes:
        yield f"note: {note}"


def confusion(detail: Detail) -> Iterator[str]:
    yield f"{'true label':14}{'faces':>7}" + "".join(f"{'called ' + label:>19}" for label in LABELS)
    for label, row in zip(LABELS, detail.three_labels, strict=True):
        yield f"{label:14}{sum(row):>7}" + "".join(f"{cell:>19}" for cell in row)


def swept(sweep: Sweep) -> Iterator[str]:
    costs = sweep.costs
    yield (
        f"threshold: cost 1 for a masked face called no_mask, {costs.missed:g} for a bare one called mask, "
        f"{costs.worn:g} for a badly worn mask called mask; of one face of each"
    )
    yield f"{'':24}{'mask right':>12}{'bare right':>12}{'badly worn called mask':>25}{'cost':>9}"
    shown = {p.threshold: p for p in sweep.points if p.threshold in SWEPT}
    marked = shown | {sweep.cheapest.threshold: sweep.cheapest, sweep.used.threshold: sweep.used}
    for threshold in sorted(marked):
        yield point_line(marked[threshold], sweep)
    yield saving(sweep)


def point_line(p: Point, sweep: Sweep) -> str:
    mark = "in use" if p == sweep.used else ""
    if p == sweep.cheapest:
        mark = f"{mark}, cheapest" if mark else "cheapest"
    shares = f"{share(1 - p.mask_wrong):>12}{share(1 - p.bare_wrong):>12}{share(p.incorrect_wrong):>25}"
    return f"{p.threshold:<8.3g}{mark:16}{shares}{p.cost:>9.4f}"


def saving(sweep: Sweep) -> str:
    """One sentence on what the cheapest threshold would save."""
    if sweep.used == sweep.cheapest:
        return f"no threshold is cheaper on these faces than the one in use, {sweep.used.threshold:g}"
    low, high = sweep.ci95
    chance = "; that may be chance" if not low > 0 else ""
    return (
        f"{sweep.cheapest.threshold:g} would cost {sweep.saving:.4f} less than {sweep.used.threshold:g} "
        f"(95%: {low:.4f} to {high:.4f}, chosen on the same faces{chance}); the model is left as it is"
    )


def slice_lines(said: Report) -> Iterator[str]:
    """Every slice with its shares and, in brackets, their 95 % intervals."""
    yield f"{'slice':30}{'faces':>7}{'mask right':>22}{'bare right':>22}{'badly worn called mask':>26}"
    yield slice_line("all", said.n, said.score.mask_right, said.score.bare_right, said.score.incorrect_called_mask)
    for name, each in said.slices.items():
        yield slice_line(name, each.n, *with_intervals(each))


def slice_line(name: str, n: int, mask: float | str, bare: float | str, worn: float | str) -> str:
    cells = [cell if isinstance(cell, str) else share(cell) for cell in (mask, bare, worn)]
    return f"{name:30}{n:>7}{cells[0]:>22}{cells[1]:>22}{cells[2]:>26}"


def with_intervals(each: Slice) -> Sequence[str]:
    shares = (each.score.mask_right, each.score.bare_right, each.score.incorrect_called_mask)
    return [bracketed(value, *ends) for value, ends in zip(shares, each.ci95, strict=True)]


def bracketed(value: float, low: float, high: float) -> str:
    return "-" if math.isnan(value) else f"{share(value)} ({100 * low:.0f}-{100 * high:.0f})"


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def area(curve: Curve | None) -> str:
    return "-" if curve is None else f"{curve.area:.4f}"
