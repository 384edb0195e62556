"""The reference project's second recipe, as it was in 2020: a frozen MobileNetV2, dense layers at each of 7 x 7 places.

Kept as a yardstick with its faults, each of which ``Faults`` can switch off to see what it costs:

* ``from_logits``: the loss takes the softmax's shares for logits and applies a second softmax. It cannot fall below
  ln(1 + 1/e) = 0.3133, gradients are flattened and the shares mean little.
* ``unit_scale``: pixels are divided by 255, while the frozen base was trained on -1..1.

Badly worn masks count as bare. Nothing is selected: the last epoch's weights are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer.faces.manifest import FaceRow
from trainer.learn.learner import Lesson, Tensor
from trainer.learn.network import Model, mobilenet_base
from trainer.learn.recipes import classic
from trainer.learn.recipes.plan import Plan
from trainer.learn.runs import Settings
from trainer.quiet import start_tensorflow

INPUT_PX: Final = 224
RATE: Final = 1e-4
PARAMETERS: Final = 4_095_554
TRAINABLE: Final = 1_837_570


@dataclass(frozen=True, slots=True)
class Faults:
    """Which of the recipe's faults are kept; each means what the module's docstring says."""

    from_logits: bool = True
    unit_scale: bool = True


AS_IT_WAS: Final = Faults()


def network(weights: str | Path | None, seed: int, faults: Faults = AS_IT_WAS) -> Model:
    """(n, 224, 224, 3) in 0..1 to (n, 2) shares of masked and bare; the base is frozen.

    weights: of width 1.0, as in ``trainer.learn.network.build``.
    """
    start_tensorflow()
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    base = mobilenet_base(INPUT_PX, 1.0, weights, pooling=None)
    base.trainable = False
    pixels = keras.Input((INPUT_PX, INPUT_PX, 3))
    x = pixels if faults.unit_scale else layers.Rescaling(2.0, offset=-1.0)(pixels)
    x = base(x, training=False)
    x = layers.Dropout(0.7, seed=seed)(x)
    x = layers.Dense(1024, activation="relu")(x)
    x = layers.Dropout(0.3, seed=(seed + 1) % 2**32)(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(2, activation="softmax")(x), name="reference")


def lesson(model: Model, rate: float, seed: int, faults: Faults = AS_IT_WAS) -> Lesson:
    """RMSprop on categorical cross-entropy, pictures varied, pixels divided by 255."""
    import keras
    import tensorflow as tf

    vary = classic.augmentation(seed)

    def forward(images: Tensor, _seed: Tensor) -> Tensor:
        return model(vary(tf.cast(images, tf.float32) / 255.0, training=True), training=True)

    def loss(labels: Tensor, shares: Tensor) -> Tensor:
        truth = tf.one_hot(labels, 2)
        if faults.from_logits:  # Keras 3 finds the logits before the softmax and so mends the fault unasked
            return tf.nn.softmax_cross_entropy_with_logits(truth, shares)
        return keras.losses.categorical_crossentropy(truth, shares)

    def right(labels: Tensor, shares: Tensor) -> Tensor:
        return tf.cast(tf.argmax(shares, -1) == labels, tf.float32)

    optimizer = keras.optimizers.RMSprop(rate)
    return Lesson(model, model.trainable_variables, forward, loss, right, optimizer, chance=vary.variables)


def _begin(settings: Settings, _rows: Sequence[FaceRow]) -> Model:
    where: Any = settings.weights if settings.weights in (None, "imagenet") else Path(settings.weights)
    return network(where, settings.seed)


PLAN: Final = Plan(
    preset={"input_px": INPUT_PX, "batch": 20, "epochs": 15, "rate": RATE, "draws": 0},
    fixed=frozenset(("input_px", "draws", "alpha", "average", "pasted", "start_from", "rate", "batch")),
    selects=False,
    begin=_begin,
    bare=lambda settings: network(None, settings.seed),
    judged=lambda model: classic.three_logits(model, lambda shares: shares),
    lesson=lambda settings, model, _steps: lesson(model, settings.rate, settings.seed),
    feed=classic.feed,
    is_over=lambda _run: None,
    two_class=True,
)
