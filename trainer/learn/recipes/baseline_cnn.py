"""The reference project's first recipe, as it was in 2020: three convolutions and two dense layers, 150 x 150 pixels.

Kept as a yardstick with its habits: it stops when the TRAINING accuracy passes 0.93, and keeps the last weights,
whatever they are worth on other faces. Badly worn masks count as bare.
"""

from __future__ import annotations

from typing import Final

from trainer.learn.learner import Lesson, Tensor
from trainer.learn.network import Model
from trainer.learn.recipes import classic
from trainer.learn.recipes.plan import Plan
from trainer.learn.runs import Run
from trainer.quiet import start_tensorflow

INPUT_PX: Final = 150
RATE: Final = 1e-4
ENOUGH: Final = 0.93  # training accuracy
PARAMETERS: Final = 9_494_561


def network(seed: int) -> Model:
    """(n, 150, 150, 3) in 0..1 to (n, 1), the share of bare. Random weights."""
    start_tensorflow()
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = pixels = keras.Input((INPUT_PX, INPUT_PX, 3))
    for width in (16, 32, 64):
        x = layers.MaxPooling2D(2)(layers.Conv2D(width, 3, activation="relu")(x))
    x = layers.Dense(512, activation="relu")(layers.Flatten()(x))
    return keras.Model(pixels, layers.Dense(1, activation="sigmoid")(x), name="baseline_cnn")


def lesson(model: Model, rate: float, seed: int) -> Lesson:
    """RMSprop on binary cross-entropy, pictures varied, pixels divided by 255."""
    import keras
    import tensorflow as tf

    vary = classic.augmentation(seed)

    def forward(images: Tensor, _seed: Tensor) -> Tensor:
        return model(vary(tf.cast(images, tf.float32) / 255.0, training=True), training=True)

    def loss(labels: Tensor, share: Tensor) -> Tensor:
        return keras.losses.binary_crossentropy(tf.cast(labels, tf.float32)[:, None], share)

    def right(labels: Tensor, share: Tensor) -> Tensor:
        return tf.cast((share[:, 0] > 0.5) == (labels == 1), tf.float32)

    optimizer = keras.optimizers.RMSprop(rate)
    return Lesson(model, model.trainable_variables, forward, loss, right, optimizer, chance=vary.variables)


def _shares(bare: Tensor) -> Tensor:
    import keras

    return keras.ops.concatenate([1 - bare, bare], axis=1)


def _is_over(run: Run) -> str | None:
    reached = bool(run.whole) and run.whole[-1].accuracy > ENOUGH
    return f"training accuracy is over {ENOUGH:.0%}, as the recipe has it" if reached else None


PLAN: Final = Plan(
    preset={"weights": None, "input_px": INPUT_PX, "batch": 20, "epochs": 50, "rate": RATE, "draws": 0},
    fixed=frozenset(("input_px", "draws", "alpha", "average", "pasted", "weights", "start_from", "rate", "batch")),
    selects=False,
    begin=lambda settings, _rows: network(settings.seed),
    bare=lambda settings: network(settings.seed),
    judged=lambda model: classic.three_logits(model, _shares),
    lesson=lambda settings, model, _steps: lesson(model, settings.rate, settings.seed),
    feed=classic.feed,
    is_over=_is_over,
    two_class=True,
)
