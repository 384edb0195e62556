from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import InputMissing
from trainer.learn import network
from trainer.learn.draws import Batch
from trainer.learn.fit import Learner, first_weights, load_best
from trainer.learn.runs import BEST, Settings


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


@pytest.fixture(scope="module")
def learner() -> Learner:
    """After two steps on one batch; training is traced once, which is the slow part."""
    settings = Settings(data="", weights=None, input_px=32, alpha=0.35, draws=16, batch=8, epochs=2)
    fresh = network.build(32, 0.35, None, dropout=0.2, seed=3)
    made = Learner(settings, fresh)
    for _ in range(2):
        made.learn(BATCH)
    return made


BATCH = Batch(np.random.default_rng(5).integers(0, 255, (8, 32, 32, 3), np.uint8), np.arange(8) % 3)


def test_checkpoint_goes_on_where_it_was(learner: Learner, tmp_path: Path) -> None:
    learner.save(tmp_path / "last.npz", epoch=1)
    weights, average, step = learner.model.get_weights(), [a.copy() for a in learner.average], learner.step
    learner.learn(BATCH)
    assert learner.load(tmp_path / "last.npz") == 1
    assert learner.step == step
    assert all(np.array_equal(a, b) for a, b in zip(learner.model.get_weights(), weights, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(learner.average, average, strict=True))


def test_swapping_twice_changes_nothing(learner: Learner) -> None:
    before = learner.model.get_weights()
    learner.swap()
    learner.swap()
    assert all(np.array_equal(a, b) for a, b in zip(before, learner.model.get_weights(), strict=True))


def test_training_learns_shifts_but_not_batch_statistics(learner: Learner) -> None:
    last = network.norms(learner.model)[-1]  # in a random network little signal reaches the first
    _, shifts, means, variances = (np.array(w) for w in last.get_weights())
    learner.learn(BATCH)
    _, new_shifts, new_means, new_variances = last.get_weights()
    assert not np.array_equal(shifts, new_shifts)
    assert np.array_equal(means, new_means)
    assert np.array_equal(variances, new_variances)


def test_interrupt_in_the_first_epoch_leaves_weights_that_can_be_used(learner: Learner, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), first_weights(learner, tmp_path):
        raise KeyboardInterrupt
    left = load_best(tmp_path, learner.settings)
    assert [p.name for p in tmp_path.iterdir()] == [BEST]
    assert np.array_equal(left.trainable_variables[0].numpy(), learner.average[0])
