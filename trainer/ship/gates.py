"""What a model must pass before it becomes a bundle: each check with what was found, the limit, and the verdict.

All are run before any refuses, so that one export shows all that is wrong. Where there are so few held-out faces that
one of them is more than a limit allows, the limit becomes that one face, and the best verdict is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from edge.errors import DataError
from trainer.metrics import BARE_AT, MASK_AT, Floats, Ints, bootstrap, score
from trainer.ship.edgetpu import Compiled
from trainer.ship.latency import Race

PASS, FAIL, WARN, NOT_RUN = "pass", "FAIL", "warning", "NOT RUN"
AS_FLOAT: Final = 0.995  # of held-out faces get float's label
GUESSING: Final = 0.5  # balanced accuracy of a model that always says the same
LOST_POINTS: Final = 0.3  # of balanced accuracy
SAME_ON_RUNTIMES: Final = 0.998
MIB_PER_WEIGHT_BYTE: Final = 8.0  # an Edge TPU keeps about 8 MiB of parameters on the chip
SLOWER: Final = 1.5  # times the shipped model
JUDGED: Final = "better than guessing"
RACE: Final = "latency, one thread"
TOO_FEW: Final = "too few faces to tell"


@dataclass(frozen=True, slots=True)
class Gate:
    """One check. value: what was found, limit: what it is held against, both in ``unit``; value None where not found.

    repeats: whether another run of the same export finds the same value, so that it belongs into a bundle.
    detail: what a program said, for the terminal only: it may hold paths of this machine.
    """

    name: str
    verdict: str
    value: float | None
    limit: float
    unit: str
    note: str = ""
    repeats: bool = True
    detail: str = ""

    @property
    def found(self) -> str:
        if self.value is None:
            return "no answer" if self.verdict == FAIL else "-"
        return shown(self.value, self.unit)

    @property
    def wanted(self) -> str:
        if self.name == JUDGED:
            return f"more than {shown(self.limit, self.unit)}"
        return f"{'at least' if self.unit == 'share' else 'at most'} {shown(self.limit, self.unit)}"

    def as_json(self) -> dict[str, Any]:
        return {name: held for name, held in asdict(self).items() if name not in ("repeats", "detail")}


def shown(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "share" else f"{value:.2f} {unit}" if value % 1 else f"{value:.0f} {unit}"


def better_than_guessing(p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float) -> Gate:
    """The one check that judges a model; the others compare it. value: lower end of balanced accuracy's 95% interval.

    p_mask: (n,) 0-1, each by a calibration that did not see the face. labels: (n,) indices into ``LABELS``. A warning
    where nothing can be told: there is no interval, or a model without a mistake would not pass either.
    """
    low = bootstrap(p_mask, labels, groups, threshold)[0]
    faultless = bootstrap((labels == MASK_AT).astype(float), labels, groups, GUESSING)[0]
    if low > GUESSING:
        verdict, note = PASS, ""
    elif faultless > GUESSING:
        verdict, note = FAIL, "on these faces it cannot be told from a model that always says the same"
    else:
        verdict, note = WARN, "too few people or scenes to tell: no model could pass on these faces"
    found = None if math.isnan(low) else round(low, 4)
    return Gate(JUDGED, verdict, found, GUESSING, "share", note)


def same_labels(name: str, first: Floats, second: Floats, threshold: float, at_least: float) -> Gate:
    """Two sets of p_mask of the same faces: how many get the same label."""
    n, differing = len(first), int(((first >= threshold) != (second >= threshold)).sum())
    limit = min(at_least, 1 - 1 / n)
    allowed = int((1 - limit) * n + 1e-9)
    apart = float(np.abs(first - second).max())
    note = f"{differing} of {n} faces differ ({allowed} may); p_mask at most {apart:.2f} apart"
    too_few = limit < at_least
    note = f"{TOO_FEW}, one of {n} is more than the limit of {at_least:.1%} allows; {note}" if too_few else note
    verdict = judged(differing <= allowed, too_few)
    return Gate(name, verdict, round(1 - differing / n, 4), round(limit, 4), "share", note)


def judged(within: bool, too_few: bool) -> str:
    return FAIL if not within else WARN if too_few else PASS


def keeps_balance(kind: str, own: Floats, real: Floats, labels: Ints, threshold: float) -> Gate:
    """own, real: (n,) p_mask of the converted and of the float network, each as calibrated by faces other than these.

    labels: (n,) indices into ``LABELS``.
    """
    lost = 100 * (score(real, labels, threshold).balanced - score(own, labels, threshold).balanced)
    one_face = 50 / min(int((labels == label).sum()) for label in (MASK_AT, BARE_AT))
    limit, too_few = max(LOST_POINTS, one_face), one_face > LOST_POINTS
    note = f"{TOO_FEW}, one is more than the limit of {LOST_POINTS} points" if too_few else ""
    note = note or ("better than float" if lost < 0 else "")
    verdict = judged(lost <= limit + 1e-9, too_few)
    return Gate(f"{kind}: balanced accuracy lost", verdict, round(lost, 2), round(limit, 2), "points", note)


def small_enough(model: bytes, weight_bytes: int) -> Gate:
    mib, limit = len(model) / 2**20, MIB_PER_WEIGHT_BYTE * weight_bytes
    return Gate("size", PASS if mib <= limit else FAIL, round(mib, 2), limit, "MiB")


def fast_enough(run: Race, limit: float) -> Gate:
    """Refused only where three quarters of the turns say so: a busy machine alone must not refuse a model."""
    verdict = PASS if run.ratio <= limit else FAIL if run.quartiles[0] > limit else WARN
    low, high = run.quartiles
    note = f"{run.new_ms:.1f} ms beside {run.old_ms:.1f} ms here; half of the turns {low:.2f} to {high:.2f}"
    note += "; more is allowed by --latency-limit" if verdict == FAIL else ""
    return Gate(RACE, verdict, round(run.ratio, 2), limit, "times the shipped one", note, repeats=False)


def not_raced(limit: float, why: str) -> Gate:
    return Gate(RACE, NOT_RUN, None, limit, "times the shipped one", why, repeats=False)


def edgetpu_ready(obstacles: Sequence[str]) -> Gate:
    note = "by the published list" if not obstacles else "; ".join([*obstacles[:3], *["..."][: len(obstacles) - 3]])
    return Gate("Edge TPU readiness", FAIL if obstacles else PASS, len(obstacles), 0, "obstacles", note)


def edgetpu_compiled(made: Compiled) -> Gate:
    left = [f"{n} {name}: {status}" for name, n, status in made.operators if "Mapped" not in status]
    note = f"{made.compiler}: {made.mapped} of {made.total} operators mapped; {'; '.join(left)}".rstrip("; ")
    verdict = FAIL if not made.mapped else WARN if left else PASS
    return Gate("Edge TPU compiler", verdict, made.total - made.mapped, 0, "operators left to the CPU", note)


def not_run(name: str, limit: float, why: str, detail: str = "") -> Gate:
    return Gate(name, NOT_RUN, None, limit, "share", why, detail=detail)


def no_answer(name: str, limit: float, why: str, detail: str = "") -> Gate:
    """For a model that was tried and gave none."""
    return Gate(name, FAIL, None, limit, "share", why, detail=detail)


def refuse(gates: Iterable[Gate]) -> None:
    """Raises DataError naming every check that failed."""
    failed = [f"{g.name} {g.found} ({g.wanted})" for g in gates if g.verdict == FAIL]
    if failed:
        raise DataError(f"export refused: {'; '.join(failed)}: see Gates in docs/training.md; no bundle was changed")
