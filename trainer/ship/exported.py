"""What an export hands on to the bundle and its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.interpreter import Tensor
from trainer.metrics import Calibration


@dataclass(frozen=True, slots=True)
class Export:
    """A converted model and how it does: figures of the shipped integers, and of the float network, on held-out faces.

    agreement: share of held-out faces with the same answer from both.
    """

    model: bytes
    input: Tensor
    output: Tensor
    calibration: Calibration
    figures: dict[str, Any]
    float_figures: dict[str, Any]
    agreement: float
