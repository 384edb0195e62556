"""A model judged on faces, with all that tables, pictures and pages are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.faces.manifest import FaceRow
from trainer.judge.costs import Costs
from trainer.judge.evaluate import Detail, Report, answers, as_json, detail_as_json, detail_of, report_of
from trainer.judge.looks import Look, looks
from trainer.judge.mistakes import Mistake, mistakes
from trainer.judge.models import Judged
from trainer.judge.origins import notes
from trainer.metrics import MASK_AT, Floats, probabilities


@dataclass(frozen=True, slots=True)
class Judgement:
    """rows: the faces judged, of the prepared set in ``folder``. looks: of the same faces. logits: (n, labels).

    shares: (n, labels) probabilities as the model's own calibration gives them.
    """

    model: Judged
    folder: Path
    rows: Sequence[FaceRow]
    looks: Sequence[Look]
    logits: Floats
    shares: Floats
    report: Report
    detail: Detail

    @property
    def p_mask(self) -> Floats:
        return self.shares[:, MASK_AT]

    def mistakes(self, most: int | None = None) -> list[Mistake]:
        """The surest first."""
        return mistakes(self.p_mask, self.rows, self.model.threshold, most)

    def as_json(self) -> dict[str, Any]:
        return {**as_json(self.report), **detail_as_json(self.detail)}


def judge(
    model: Judged, folder: Path, rows: Sequence[FaceRow], costs: Costs, tick: Callable[[int], None] = lambda _: None
) -> Judgement:
    """Raises DataError where a picture of the set is gone. ``tick`` gets numbers of faces, of each face twice."""
    seen = looks(folder, rows, tick)
    logits = answers(model, folder, rows, tick)
    shares = probabilities(logits, model.calibration)
    said = report_of(model.name, shares, rows, model.threshold, seen)
    detail = detail_of(shares, rows, said, costs, tuple(notes(model.origin, folder, rows)))
    return Judgement(model, folder, rows, seen, logits, shares, said, detail)
