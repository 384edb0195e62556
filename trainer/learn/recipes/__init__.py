"""The ways to train: ours, and two of 2020 that are kept as yardsticks."""

from __future__ import annotations

from typing import Final

from trainer.learn.recipes import baseline_cnn, mobilenet_v2, reference
from trainer.learn.recipes.plan import Plan

MOBILENET_V2: Final = "mobilenet_v2"
PLANS: Final[dict[str, Plan]] = {
    MOBILENET_V2: mobilenet_v2.PLAN,
    "reference": reference.PLAN,
    "baseline_cnn": baseline_cnn.PLAN,
}
