import numpy as np
import pytest

from trainer.learn import network
from trainer.ship.rounding import rounded, to_steps

IMAGES = network.scale(np.random.default_rng(2).integers(0, 255, (40, 32, 32, 3), np.uint8))


@pytest.fixture(scope="module")
def model() -> network.Model:
    """Random weights with BatchNormalizations that do something, as after a training."""
    model = network.build(32, 0.35, None, dropout=0.2, seed=5)
    rng = np.random.default_rng(6)
    for norm in network.norms(model):
        gamma, beta, mean, variance = norm.get_weights()
        norm.set_weights([rng.uniform(0.8, 1.2, gamma.shape), rng.normal(0, 0.1, beta.shape), mean, variance])
    network.restate_norms(model, [IMAGES])
    return model


@pytest.fixture(scope="module")
def twin(model: network.Model) -> network.Model:
    return rounded(model, IMAGES)


def test_every_weight_is_a_whole_number_of_steps_and_the_largest_is_127() -> None:
    kernel = np.random.default_rng(3).normal(0, 1, (3, 3, 4, 5))
    steps = np.abs(kernel).max(axis=(0, 1, 2), keepdims=True) / 127
    counted = to_steps(kernel, (0, 1, 2)) / steps
    assert counted == pytest.approx(np.round(counted), abs=1e-9)
    assert np.abs(counted).max(axis=(0, 1, 2)) == pytest.approx(np.full(5, 127.0))


def test_a_channel_of_nothing_stays_nothing() -> None:
    assert not to_steps(np.zeros((1, 1, 2, 2)), (0, 1, 2)).any()


def test_rounded_network_gives_the_same_mean_logits(model: network.Model, twin: network.Model) -> None:
    own, other = (np.asarray(m(IMAGES, training=False)) for m in (model, twin))
    assert other.mean(axis=0) == pytest.approx(own.mean(axis=0), abs=1e-3)
    assert not np.array_equal(own, other)


def test_norms_of_a_rounded_network_only_add(twin: network.Model) -> None:
    for norm in network.norms(twin):
        gamma, _, mean, variance = norm.get_weights()
        assert gamma / np.sqrt(variance + norm.epsilon) == pytest.approx(np.ones_like(gamma), abs=1e-6)
        assert not mean.any()


def test_the_network_itself_is_left_alone(model: network.Model) -> None:
    before = [w.copy() for w in model.get_weights()]
    rounded(model, IMAGES[:4])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
