from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trainer.learn.learner import Learner, Lesson, Tensor, one_of_many, rising_cosine
from trainer.learn.strategies import open_strategy

IMAGES = np.random.default_rng(5).integers(0, 255, (8, 8, 8, 3), np.uint8)
LABELS: npt.NDArray[np.int64] = np.arange(8) % 3


def small_lesson() -> Lesson:
    """A network of one convolution, trained as ours is."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3)(x))

    def forward(images: Tensor, seed: Tensor) -> Tensor:
        noisy = tf.cast(images, tf.float32) / 255 + tf.random.stateless_normal(images.shape, seed) / 10
        return model(noisy)

    loss, right = one_of_many(0.05)
    optimizer = keras.optimizers.AdamW(rising_cosine(1e-2, 2, 20), weight_decay=0.02, clipnorm=5.0)
    return Lesson(model, model.trainable_variables, forward, loss, right, optimizer, average=0.995, seed=1)


@pytest.fixture(scope="module")
def learner() -> Learner:
    """After two steps on one batch."""
    strategy = open_strategy("one")
    made = Learner(small_lesson(), strategy)
    for _ in range(2):
        made.learn(IMAGES, LABELS)
    return made


def test_checkpoint_goes_on_where_it_was(learner: Learner, tmp_path: Path) -> None:
    learner.save(tmp_path / "last.npz", epoch=1)
    weights, average, step = learner.lesson.model.get_weights(), learner.average, learner.step
    learner.learn(IMAGES, LABELS)
    assert learner.load(tmp_path / "last.npz") == 1
    assert learner.step == step
    assert all(np.array_equal(a, b) for a, b in zip(learner.lesson.model.get_weights(), weights, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(learner.average, average, strict=True))


def test_step_after_a_checkpoint_is_the_step_that_would_have_come(learner: Learner, tmp_path: Path) -> None:
    learner.save(tmp_path / "last.npz", epoch=1)
    first, weights = np.asarray(learner.learn(IMAGES, LABELS)), learner.lesson.model.get_weights()
    learner.load(tmp_path / "last.npz")
    assert np.asarray(learner.learn(IMAGES, LABELS)) == pytest.approx(first, rel=1e-4)
    again = learner.lesson.model.get_weights()  # as the optimizer's moments, its step and its rate have it
    assert all(a == pytest.approx(b, abs=1e-6) for a, b in zip(again, weights, strict=True))


def test_swapping_twice_changes_nothing(learner: Learner) -> None:
    before = learner.lesson.model.get_weights()
    learner.swap()
    assert not all(np.array_equal(a, b) for a, b in zip(before, learner.lesson.model.get_weights(), strict=True))
    learner.swap()
    assert all(np.array_equal(a, b) for a, b in zip(before, learner.lesson.model.get_weights(), strict=True))


def test_average_follows_the_weights(learner: Learner) -> None:
    before = learner.average[0]
    learner.learn(IMAGES, LABELS)
    keep = (1 + learner.step) / (10 + learner.step)
    expected = keep * before + (1 - keep) * learner.lesson.variables[0].numpy()
    assert learner.average[0] == pytest.approx(expected, abs=1e-6)


def test_loss_and_share_right_are_those_of_the_batch(learner: Learner) -> None:
    loss, right = np.asarray(learner.learn(IMAGES, LABELS)).tolist()
    assert loss > 0
    assert right * len(LABELS) == pytest.approx(round(right * len(LABELS)), abs=1e-4)


def test_learning_lowers_the_loss(learner: Learner) -> None:
    first, *_, last = [float(np.asarray(learner.learn(IMAGES, LABELS))[0]) for _ in range(10)]
    assert last < first
