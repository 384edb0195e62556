from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import InputMissing
from trainer import network
from trainer.draws import Batch
from trainer.fit import Learner, Settings


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


def learner() -> Learner:
    settings = Settings(data="", weights=None, input_px=32, alpha=0.35, draws=16, batch=8, epochs=2)
    return Learner(settings, network.build(32, 0.35, None, dropout=0.2, seed=3))


def batch() -> Batch:
    return Batch(np.random.default_rng(5).integers(0, 255, (8, 32, 32, 3), np.uint8), np.arange(8) % 3)


def test_checkpoint_goes_on_where_it_was(tmp_path: Path) -> None:
    first = learner()
    first.learn(batch())
    first.save(tmp_path / "last.npz", epoch=1)
    again = learner()
    assert again.load(tmp_path / "last.npz") == 1
    assert again.step == first.step
    for mine, theirs in zip(again.model.get_weights(), first.model.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    for mine, theirs in zip(again.average, first.average, strict=True):
        assert np.array_equal(mine, theirs)


def test_swapping_twice_changes_nothing() -> None:
    one = learner()
    one.learn(batch())
    before = one.model.get_weights()
    one.swap()
    one.swap()
    assert all(np.array_equal(a, b) for a, b in zip(before, one.model.get_weights(), strict=True))


def test_training_learns_scales_but_not_batch_statistics() -> None:
    one = learner()
    norm = network.norms(one.model)[0]
    gamma, _, mean, variance = (np.array(w) for w in norm.get_weights())
    one.learn(batch())
    new_gamma, _, new_mean, new_variance = norm.get_weights()
    assert not np.array_equal(gamma, new_gamma)
    assert np.array_equal(mean, new_mean)
    assert np.array_equal(variance, new_variance)
