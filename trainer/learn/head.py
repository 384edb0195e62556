"""Phase one: the head alone, fitted to features of the frozen base that are computed once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.records import ImageU8
from trainer.faces.manifest import FaceRow
from trainer.learn import network
from trainer.learn.draws import Feed
from trainer.learn.judging import judged_figures
from trainer.learn.learner import Learner, Lesson, Tensor, one_of_many
from trainer.learn.runs import HEAD, EpochFigures, Settings
from trainer.learn.strategies import Strategy

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

EPOCHS: Final = 20  # over the cached features; the rate falls to nothing, so the last ones only settle
RATE: Final = 2e-3
BATCH: Final = 256
DRAWN_EPOCHS: Final = 2  # how many epochs' worth of varied draws are cached
DRAW_SEED: Final = 900_000  # an "epoch" whose draws no epoch of training shares


@dataclass(frozen=True, slots=True)
class Cached:
    """features: (n, channels) float32 of the frozen base. labels: (n,) int64."""

    features: Floats
    labels: Ints


class Frozen:
    """A classifier's base up to its pooled features, as one compiled call."""

    def __init__(self, model: network.Model) -> None:
        import tensorflow as tf

        base, _, _ = network.features_and_head(model)
        self._call = tf.function(
            lambda images: base(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False),
            input_signature=[tf.TensorSpec([None, *model.input.shape[1:]], tf.uint8)],
            autograph=False,
        )

    def features(self, images_rgb: ImageU8) -> Floats:
        """(n, channels) of (n, side, side, 3) uint8."""
        found: Floats = np.asarray(self._call(images_rgb))
        return found


def cache(frozen: Frozen, feed: Feed, draws: int, tick: Callable[[int], None]) -> Cached:
    """Features of ``draws`` varied crops; ``tick`` is called with 1 per batch."""
    parts, labels = [], []
    for batch in feed.drawn(draws, DRAW_SEED):
        parts.append(frozen.features(batch.images_rgb))
        labels.append(batch.labels)
        tick(1)
    return Cached(np.concatenate(parts), np.concatenate(labels))


def head_lesson(model: network.Model, settings: Settings, steps: int) -> Lesson:
    """The dense layer of ``model`` alone, on features. Its weights are the classifier's own."""
    import keras
    import tensorflow as tf

    _, _, head = network.features_and_head(model)
    loss, right = one_of_many(settings.smoothing)

    def forward(features: Tensor, seed: Tensor) -> Tensor:
        return head(tf.nn.experimental.stateless_dropout(features, settings.dropout, seed))

    return Lesson(
        model=head,
        variables=head.trainable_variables,
        forward=forward,
        loss=loss,
        right=right,
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps, alpha=0.01)),
        seed=settings.seed,
    )


def fit_head(
    model: network.Model,
    settings: Settings,
    cached: Cached,
    strategy: Strategy,
    *,
    judging: tuple[Frozen, ImageU8, Sequence[FaceRow]],
) -> Iterator[EpochFigures]:
    """Train the head of ``model`` in place; yields each epoch's figures, some tenths of a second apart."""
    frozen, crops, rows = judging
    seen = [frozen.features(crops[at : at + 64]) for at in range(0, len(crops), 64)]
    steps = EPOCHS * -(-len(cached.labels) // BATCH)
    with strategy.scope():
        learner = Learner(head_lesson(model, settings, steps), strategy)
    for epoch in range(1, EPOCHS + 1):
        start = monotonic()
        met = [learner.learn(cached.features[i], cached.labels[i]) for i in _batches(len(cached.labels), epoch)]
        loss, accuracy = np.mean(np.array(met, np.float64), axis=0).tolist()
        scores = judged_figures(_logits(learner.lesson.model, seen), rows)
        figures = EpochFigures(
            HEAD, epoch, loss, accuracy, **asdict(scores), rate=learner.rate, seconds=round(monotonic() - start, 2)
        )
        yield figures


def _batches(count: int, epoch: int) -> list[Ints]:
    order = np.random.default_rng((DRAW_SEED, epoch)).permutation(count)
    return np.array_split(order, -(-count // BATCH))


def _logits(head: Any, seen: Sequence[Floats]) -> npt.NDArray[np.float64]:
    if not seen:
        return np.zeros((0, 3))
    return np.concatenate([np.asarray(head(part)) for part in seen]).astype(np.float64)
