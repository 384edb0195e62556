"""The score of every epoch, on faces that training did not see: uncalibrated, threshold one half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.faces.manifest import FaceRow
from trainer.metrics import Calibration, Floats, probabilities, score


@dataclass(frozen=True, slots=True)
class JudgedFigures:
    """The part of ``EpochFigures`` that judged faces give."""

    judged_loss: float
    balanced: float
    mask_right: float
    bare_right: float
    incorrect_called_mask: float


def judged_figures(logits: Floats, rows: Sequence[FaceRow], *, two_class: bool = False) -> JudgedFigures:
    """logits: (n, 3) of the crops of ``rows``, none being fine. two_class: the model takes badly worn for bare."""
    if not rows:
        return JudgedFigures(*(float("nan"),) * 5)
    labels = np.array([r.label_index for r in rows])
    p = probabilities(logits, Calibration())
    s = score(p[:, 0], labels)
    truth = np.minimum(labels, 1) if two_class else labels
    loss = float(-np.log(np.clip(p[np.arange(len(rows)), truth], 1e-7, 1)).mean())
    return JudgedFigures(loss, s.balanced, s.mask_right, s.bare_right, s.incorrect_called_mask)
