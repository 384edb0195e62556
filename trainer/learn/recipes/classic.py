"""What the two recipes of 2020 share: whole passes over the faces, the augmentation of that time, two classes.

Both know masked and bare only; a badly worn mask counts as bare for them. They train on plain pictures, so that they
can be given faces of a prepared set or whole photos squeezed to a square, as in 2020 (``fit_pictures``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edge.records import ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.learn.draws import Batch
from trainer.learn.learner import Learner, Lesson, Tensor
from trainer.learn.network import Model
from trainer.learn.runs import Settings
from trainer.learn.strategies import Strategy

Ints = npt.NDArray[np.int64]
TURN_DEG: Final = 40
SHIFT: Final = 0.2
SHEAR: Final = 0.2  # of the side. 2020's generator read its 0.2 as degrees, which nobody sees
ZOOM: Final = 0.2
NEVER: Final = -30.0  # logit of ``incorrect``, which these networks do not know
LEAST_SHARE: Final = 1e-7  # below it a float32 softmax is noise


class Pictures(Protocol):
    """Pictures by number: a uint8 array (n, side, side, 3), RGB, or what reads them when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Ints, /) -> ImageU8: ...


@dataclass(frozen=True, slots=True)
class FaceCrops:
    """The device's crops of a prepared set's faces, cut when they are asked for."""

    folder: Path
    rows: Sequence[FaceRow]
    margin: float
    size_px: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Ints, /) -> ImageU8:
        return plain_crops(self.folder, [self.rows[i] for i in indices], self.margin, self.size_px)


class Passes:
    """Every picture once an epoch, shuffled anew; the last batch may be smaller. labels: 0 masked, 1 bare."""

    def __init__(
        self, pictures: Pictures, labels: Ints, batch: int, seed: int, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self._pictures = pictures
        self._labels = labels
        self._batch = batch
        self._seed = seed
        self._shard = shard

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def steps(self) -> int:
        return -(-len(self._labels) // self._batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._labels))
        for at in range(0, len(order), self._batch):
            own = self._own(order[at : at + self._batch])
            if len(own):
                yield Batch(self._pictures[own], self._labels[own])

    def _own(self, indices: Ints) -> Ints:
        index, machines = self._shard
        size = len(indices) // machines
        return indices[index * size : (index + 1) * size]


def feed(settings: Settings, rows: Sequence[FaceRow], workers: int, shard: tuple[int, int]) -> Passes:
    """Passes over faces; ``workers`` is not needed, as cutting is cheap beside these networks."""
    del workers
    crops = FaceCrops(Path(settings.data), rows, settings.margin, settings.input_px)
    return Passes(crops, two_labels(rows), settings.batch, settings.seed, shard)


def two_labels(rows: Sequence[FaceRow]) -> Ints:
    """0 masked, 1 bare or badly worn."""
    return np.array([min(r.label_index, 1) for r in rows], np.int64)


def augmentation(seed: int) -> Any:
    """Keras layers that vary a batch of pictures as 2020's recipes do, of any float range, on a GPU where there is one.

    Rotation up to 40 degrees, shifts, shear and zoom up to a fifth, mirroring; the edge pixels fill what comes in.
    """
    from keras import Sequential, layers

    fill = {"fill_mode": "nearest", "seed": seed}
    return Sequential(
        [
            layers.RandomFlip("horizontal", seed=seed),
            layers.RandomRotation(TURN_DEG / 360, **fill),
            layers.RandomShear(SHEAR, 0.0, **fill),
            layers.RandomZoom((-ZOOM, ZOOM), (-ZOOM, ZOOM), **fill),
            layers.RandomTranslation(SHIFT, SHIFT, **fill),
        ],
        name="augmentation",
    )


def three_logits(model: Model, shares: Callable[[Tensor], Tensor]) -> Model:
    """The network as the rest of the trainer knows networks: crops in -1..1 to logits of mask, no_mask, incorrect.

    shares: the network's output to (n, 2) shares of masked and bare. Log shares are logits whose softmax they are.
    """
    import keras

    crops = keras.Input(model.input.shape[1:])
    found = shares(model(keras.layers.Rescaling(0.5, offset=0.5)(crops), training=False))
    logits = keras.ops.log(keras.ops.maximum(found, LEAST_SHARE))
    never = keras.ops.full_like(logits[:, :1], NEVER)
    return keras.Model(crops, keras.ops.concatenate([logits, never], axis=1))


@dataclass(frozen=True, slots=True)
class EpochMet:
    """loss, accuracy: means over an epoch's steps, on varied pictures."""

    loss: float
    accuracy: float


def fit_pictures(
    lesson: Lesson,
    passes: Passes,
    epochs: int,
    strategy: Strategy,
    *,
    is_enough: Callable[[EpochMet], bool] = lambda _met: False,
) -> Iterator[EpochMet]:
    """Train ``lesson.model`` in place on any pictures, an epoch per figure, until ``is_enough`` says so."""
    learner = Learner(lesson, strategy)
    for epoch in range(1, epochs + 1):
        met = [np.asarray(learner.learn(b.images_rgb, b.labels)) for b in passes.epoch(epoch)]
        figures = EpochMet(*np.mean(np.array(met, np.float64), axis=0).tolist())
        yield figures
        if is_enough(figures):
            return
