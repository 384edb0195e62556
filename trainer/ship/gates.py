"""What a model must pass before it becomes a bundle: each check with what was found, the limit, and the verdict.

All are run before any refuses, so that one export shows all that is wrong. Where there are few held-out faces, one face
is a larger share than a limit allows; one differing face is never held against a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from edge.errors import DataError
from trainer.metrics import BARE_AT, MASK_AT, Floats, Ints, score
from trainer.ship.edgetpu import Compiled
from trainer.ship.latency import Race

PASS, FAIL, WARN, NOT_RUN = "pass", "FAIL", "warning", "NOT RUN"
AS_FLOAT: Final = 0.995  # of held-out faces get float's label
LOST_POINTS: Final = 0.3  # of balanced accuracy
SAME_ON_RUNTIMES: Final = 0.998
MIB_PER_WEIGHT_BYTE: Final = 8.0  # an Edge TPU keeps about 8 MiB of parameters on the chip
SLOWER: Final = 1.5  # times the shipped model


@dataclass(frozen=True, slots=True)
class Gate:
    """One check. value: what was found, limit: what it is held against, both in ``unit``; value None where not run.

    repeats: whether another run of the same export finds the same value, so that it belongs into a bundle.
    """

    name: str
    verdict: str
    value: float | None
    limit: float
    unit: str
    note: str = ""
    repeats: bool = True

    @property
    def found(self) -> str:
        return "-" if self.value is None else shown(self.value, self.unit)

    @property
    def wanted(self) -> str:
        return f"{'at least' if self.unit == 'share' else 'at most'} {shown(self.limit, self.unit)}"

    def as_json(self) -> dict[str, Any]:
        return {name: held for name, held in asdict(self).items() if name != "repeats"}


def shown(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "share" else f"{value:.2f} {unit}" if value % 1 else f"{value:.0f} {unit}"


def same_labels(name: str, first: Floats, second: Floats, threshold: float, at_least: float) -> Gate:
    """Two sets of p_mask of the same faces: how many get the same label."""
    differing = int(((first >= threshold) != (second >= threshold)).sum())
    allowed = max(1, int((1 - at_least) * len(first) + 1e-9))
    apart = float(np.abs(first - second).max())
    note = f"{differing} of {len(first)} faces differ ({allowed} may); p_mask at most {apart:.2f} apart"
    verdict = PASS if differing <= allowed else FAIL
    return Gate(name, verdict, round(1 - differing / len(first), 4), at_least, "share", note)


def keeps_balance(kind: str, own: Floats, real: Floats, labels: Ints, threshold: float) -> Gate:
    """own, real: (n,) p_mask of the converted and of the float network. labels: (n,) indices into ``LABELS``."""
    lost = 100 * (score(real, labels, threshold).balanced - score(own, labels, threshold).balanced)
    fewest = min(int((labels == label).sum()) for label in (MASK_AT, BARE_AT))
    verdict = PASS if lost <= max(LOST_POINTS, 50 / fewest) + 1e-9 else FAIL
    note = "better than float" if lost < 0 else ""
    return Gate(f"{kind}: balanced accuracy lost", verdict, round(lost, 2), LOST_POINTS, "points", note)


def small_enough(model: bytes, weight_bytes: int) -> Gate:
    mib, limit = len(model) / 2**20, MIB_PER_WEIGHT_BYTE * weight_bytes
    return Gate("size", PASS if mib <= limit else FAIL, round(mib, 2), limit, "MiB")


def fast_enough(run: Race | None, limit: float) -> Gate:
    """Refused only where three quarters of the turns say so: a busy machine alone must not refuse a model."""
    name, unit = "latency, one thread", "times the shipped one"
    if run is None:
        return Gate(name, NOT_RUN, None, limit, unit, "the shipped model is not there to race with", repeats=False)
    verdict = PASS if run.ratio <= limit else FAIL if run.quartiles[0] > limit else WARN
    low, high = run.quartiles
    note = f"{run.new_ms:.1f} ms beside {run.old_ms:.1f} ms here; half of the turns {low:.2f} to {high:.2f}"
    note += "; more is allowed by --latency-limit" if verdict == FAIL else ""
    return Gate(name, verdict, round(run.ratio, 2), limit, unit, note, repeats=False)


def edgetpu_ready(obstacles: Sequence[str]) -> Gate:
    note = "by the published list" if not obstacles else "; ".join([*obstacles[:3], *["..."][: len(obstacles) - 3]])
    return Gate("Edge TPU readiness", FAIL if obstacles else PASS, len(obstacles), 0, "obstacles", note)


def edgetpu_compiled(made: Compiled) -> Gate:
    left = [f"{n} {name}: {status}" for name, n, status in made.operators if "Mapped" not in status]
    note = f"{made.compiler}: {made.mapped} of {made.total} operators mapped; {'; '.join(left)}".rstrip("; ")
    verdict = FAIL if not made.mapped else WARN if left else PASS
    return Gate("Edge TPU compiler", verdict, made.total - made.mapped, 0, "operators left to the CPU", note)


def not_run(name: str, limit: float, why: str) -> Gate:
    return Gate(name, NOT_RUN, None, limit, "share", why)


def refuse(gates: Iterable[Gate]) -> None:
    """Raises DataError naming every check that failed."""
    failed = [f"{g.name} {g.found} ({g.wanted})" for g in gates if g.verdict == FAIL]
    if failed:
        raise DataError(f"export refused: {'; '.join(failed)}: see Gates in docs/training.md; no bundle was changed")
