from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import InputMissing
from trainer.learn import network


@pytest.fixture(scope="module")
def model() -> network.Model:
    return network.build(32, 0.35, None, dropout=0.2, seed=1)


def pictures(count: int = 6) -> npt.NDArray[np.float32]:
    return network.scale(np.random.default_rng(1).integers(0, 255, (count, 32, 32, 3), np.uint8))


def test_restated_norms_leave_the_answers_as_they_were(model: network.Model) -> None:
    x = pictures()
    before = np.asarray(model(x, training=False))
    network.restate_norms(model, [x])
    assert np.asarray(model(x, training=False)) == pytest.approx(before, abs=1e-3)


def test_restated_norms_hold_the_statistics_of_the_pictures(model: network.Model) -> None:
    import keras

    x = pictures()
    network.restate_norms(model, [x])
    first = network.norms(model)[0]
    inside = np.asarray(keras.Model(model.input, first.input)(x, training=False))
    assert np.asarray(first.moving_mean) == pytest.approx(inside.mean(axis=(0, 1, 2)), abs=1e-4)


def test_answers_are_logits_and_not_probabilities(model: network.Model) -> None:
    assert model.output.shape == (None, 3)
    assert model.layers[-1].activation.__name__ == "linear"


def test_pixels_are_scaled_to_minus_one_and_one() -> None:
    assert network.scale(np.array([0, 255], np.uint8)).tolist() == [-1.0, 1.0]


def test_missing_weights_are_named() -> None:
    with pytest.raises(InputMissing, match=r"nothing\.h5"):
        network.build(32, 0.35, Path("nothing.h5"), dropout=0.2, seed=1)
