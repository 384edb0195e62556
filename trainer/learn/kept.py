"""What others ask of a run: its network, the crops that it takes, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.records import ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.learn import network
from trainer.learn.recipes import PLANS
from trainer.learn.runs import BEST, Settings, read_run
from trainer.metrics import Floats

AT_ONCE: Final = 64


def logits_of(model: network.Model, crops: ImageU8) -> Floats:
    """(n, 3) logits of uint8 RGB crops by a float network that takes -1..1; (0, 3) where there is no crop."""
    return answering(model)(crops)


def answering(model: network.Model) -> Callable[[ImageU8], Floats]:
    """The same for many calls: compiled once, which saves more than half, with the weights as they are at each call."""
    import tensorflow as tf

    shape = [None, *model.input.shape[1:]]
    call = tf.function(
        lambda crops: model(crops, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False
    )

    def logits(crops: ImageU8) -> Floats:
        at = range(0, len(crops), AT_ONCE)
        parts = [np.asarray(call(network.scale(crops[i : i + AT_ONCE]))) for i in at]
        return np.concatenate(parts or [np.zeros((0, 3))]).astype(np.float64)

    return logits


def crops_of(settings: Settings, data: Path, rows: Sequence[FaceRow]) -> ImageU8:
    """Crops as the device makes them; (0, side, side, 3) where there is no row."""
    if not rows:
        return np.zeros((0, settings.input_px, settings.input_px, 3), np.uint8)
    return plain_crops(data, rows, settings.margin, settings.input_px)


def load_best(folder: Path, settings: Settings) -> network.Model:
    """The float network that a run keeps, of whatever recipe: crops in -1..1 to three logits in the order of LABELS.

    A recipe of two classes never says ``incorrect``: that logit lies far below the others.
    """
    plan = PLANS[settings.recipe]
    model = plan.bare(settings)
    network.load_weights(model, folder / BEST)
    return plan.judged(model)


@dataclass(frozen=True, slots=True)
class Answering:
    """A run's network as something that answers crops. margin: of the crop. logits: uint8 RGB crops to (n, 3)."""

    size_px: int
    margin: float
    logits: Callable[[ImageU8], Floats]


def open_run(folder: Path) -> Answering:
    """The kept network of a run folder of any recipe."""
    settings = read_run(folder).settings
    return Answering(settings.input_px, settings.margin, answering(load_best(folder, settings)))
