"""Ours: a head on cached features of the frozen base first, then the whole network with BatchNorm's statistics fixed.

The statistics of the starting weights are re-stated on the training faces before anything else. While the whole network
is tuned they stay as they are, and scale and shift are learned; the weights that are kept are a running average.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainer.faces.manifest import FaceRow
from trainer.learn import network
from trainer.learn.draws import Feed, Maker, Recipe, draw
from trainer.learn.learner import Lesson, Tensor, one_of_many, rising_cosine
from trainer.learn.network import Model
from trainer.learn.recipes.plan import Plan
from trainer.learn.runs import BEST, Run, Settings

NORM_BATCHES: Final = 16  # of 64 training faces, to measure BatchNorm statistics on
PATIENCE: Final = 5  # epochs without a better score on judged faces after which training stops


def making(settings: Settings, data: Path) -> Recipe:
    """How this run's varied crops are made."""
    return Recipe(data, settings.margin, settings.input_px, settings.seed, settings.pasted)


def begin(settings: Settings, rows: Sequence[FaceRow]) -> Model:
    """A network to start from, whose BatchNorm statistics are those of the training faces."""
    where = settings.weights if settings.weights in (None, "imagenet") else Path(settings.weights)
    start = None if settings.start_from else where
    model = network.build(settings.input_px, settings.alpha, start, settings.dropout, settings.seed)
    if settings.start_from:
        network.load_weights(model, Path(settings.start_from) / BEST)
    maker = Maker(rows, making(settings, Path(settings.data)))
    picked = draw(rows, min(NORM_BATCHES * 64, max(64, len(rows))), settings.seed, 0).tolist()
    batches = (network.scale(maker.batch(picked[at : at + 64], 0, at).images_rgb) for at in range(0, len(picked), 64))
    network.restate_norms(model, batches)
    return model


def bare(settings: Settings) -> Model:
    return network.build(settings.input_px, settings.alpha, None, settings.dropout, settings.seed)


def lesson(settings: Settings, model: Model, steps: int) -> Lesson:
    """The whole network; the learning rate rises and falls once over ``steps``."""
    import keras

    features, _, head = network.features_and_head(model)
    optimizer = keras.optimizers.AdamW(
        rising_cosine(settings.rate, round(settings.warmup * steps), steps), weight_decay=settings.decay, clipnorm=5.0
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    loss, right = one_of_many(settings.smoothing)

    def forward(images: Tensor, seed: Tensor) -> Tensor:
        import tensorflow as tf

        inputs = tf.cast(images, tf.float32) / 127.5 - 1.0
        found = features(inputs, training=False)
        return head(tf.nn.experimental.stateless_dropout(found, settings.dropout, seed))

    return Lesson(
        model=model,
        variables=model.trainable_variables,
        forward=forward,
        loss=loss,
        right=right,
        optimizer=optimizer,
        average=settings.average,
        seed=settings.seed,
    )


def feed(settings: Settings, rows: Sequence[FaceRow], workers: int, shard: tuple[int, int]) -> Feed:
    recipe = making(settings, Path(settings.data))
    return Feed(rows, recipe, settings.batch, settings.draws, workers=workers, shard=shard)


def is_over(run: Run) -> str | None:
    """Why training stops early, or None. Where nothing is selected it never does."""
    if not run.division.selecting or run.chosen is None:
        return None
    waited = len(run.figures) - 1 - max(run.chosen, len(run.figures) - len(run.whole) - 1)
    return f"no better score for {PATIENCE} epochs" if waited >= PATIENCE else None


PLAN: Final = Plan(
    preset={},
    fixed=frozenset(),
    selects=True,
    begin=begin,
    bare=bare,
    judged=lambda model: model,
    lesson=lesson,
    feed=feed,
    is_over=is_over,
    has_head_phase=True,
)
