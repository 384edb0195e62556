"""A judgement as lines for a person at a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from trainer.faces.labels import LABELS
from trainer.judge.costs import Point, Sweep
from trainer.judge.curves import Curve
from trainer.judge.evaluate import Detail, Report
from trainer.judge.slices import Slice

SWEPT = (0.1, 0.3, 0.5, 0.7, 0.9)  # thresholds that are printed, of all that were tried


def as_lines(said: Report, detail: Detail) -> Iterator[str]:
    yield f"{said.model}: {said.n} faces, {balanced(said)}"
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


def balanced(said: Report) -> str:
    """Balanced accuracy with its interval, or why there is none."""
    if math.isnan(said.score.balanced):
        return "no balanced accuracy: it needs masked and bare faces"
    low, high = said.ci95
    ends = "no interval" if math.isnan(low) else f"95%: {share(low)} to {share(high)}"
    return f"balanced {share(said.score.balanced)} ({ends})"


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
    marked = shown | {p.threshold: p for p in (sweep.used, *[sweep.cheapest] * sweep.is_choice)}
    for threshold in sorted(marked):
        yield point_line(marked[threshold], sweep)
    yield saving(sweep)


def point_line(p: Point, sweep: Sweep) -> str:
    mark = "in use" if p == sweep.used else ""
    if p == sweep.cheapest and sweep.is_choice:
        mark = f"{mark}, cheapest" if mark else "cheapest"
    shares = f"{share(1 - p.mask_wrong):>12}{share(1 - p.bare_wrong):>12}{share(p.incorrect_wrong):>25}"
    return f"{p.threshold:<8.3g}{mark:16}{shares}{p.cost:>9.4f}"


def saving(sweep: Sweep) -> str:
    """One sentence on what the cheapest threshold would save."""
    if not sweep.is_choice:
        return "no threshold can be chosen on these faces: that needs masked and bare ones"
    if sweep.used == sweep.cheapest:
        return f"no threshold is cheaper on these faces than the one in use, {sweep.used.threshold:g}"
    low, high = sweep.ci95
    chance = "; that may be chance" if not low > 0 else ""
    return (
        f"{sweep.cheapest.threshold:g} would cost {sweep.saving:.4f} less than {sweep.used.threshold:g} "
        f"(95%: {low:.4f} to {high:.4f}, chosen on the same faces{chance}); the model is left as it is"
    )


def slice_lines(said: Report) -> Iterator[str]:
    """Every slice with its shares and, in brackets, their 95 % intervals, which count groups: people or scenes."""
    yield f"{'slice':30}{'faces':>7}{'groups':>8}{'mask right':>22}{'bare right':>22}{'badly worn called mask':>26}"
    for name, each in {"all": said.whole, **said.slices}.items():
        mask, bare, worn = with_intervals(each)
        yield f"{name:30}{each.n:>7}{each.groups:>8}{mask:>22}{bare:>22}{worn:>26}"


def with_intervals(each: Slice) -> Sequence[str]:
    shares = (each.score.mask_right, each.score.bare_right, each.score.incorrect_called_mask)
    return [bracketed(value, *ends) for value, ends in zip(shares, each.ci95, strict=True)]


def bracketed(value: float, low: float, high: float) -> str:
    return "-" if math.isnan(value) else f"{share(value)} ({100 * low:.0f}-{100 * high:.0f})"


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def area(curve: Curve | None) -> str:
    return "-" if curve is None else f"{curve.area:.4f}"
