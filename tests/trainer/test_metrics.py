import math

import numpy as np
import pytest

from trainer.metrics import Calibration, bootstrap, calibrate, expected_calibration_error, probabilities, score

LABELS = np.array([0, 0, 1, 1, 2, 2])


def test_balanced_accuracy_is_the_mean_of_two_recalls() -> None:
    s = score(np.array([0.9, 0.1, 0.2, 0.3, 0.7, 0.1]), LABELS)
    assert (s.mask_right, s.bare_right, s.balanced, s.incorrect_called_mask) == (0.5, 1.0, 0.75, 0.5)


def test_absent_class_has_no_recall() -> None:
    assert math.isnan(score(np.array([0.9]), np.array([0])).bare_right)


def test_probabilities_of_large_logits_stay_finite() -> None:
    p = probabilities(np.array([[1000.0, 0.0, -1000.0]]), Calibration())
    assert p[0].tolist() == [1.0, 0.0, 0.0]


def test_bias_moves_the_answer() -> None:
    p = probabilities(np.zeros((1, 3)), Calibration(1.0, (2.0, 0.0, 0.0)))
    assert p[0, 0] > 0.7


def test_sure_and_right_answers_have_no_calibration_error() -> None:
    assert expected_calibration_error(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1])) == 0.0


def test_sure_and_wrong_answers_have_all_of_it() -> None:
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([1, 0])) == 1.0


def test_temperature_of_answers_that_are_too_sure_is_above_one() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 400)
    true = np.where(rng.random(400) < 0.8, labels, 1 - labels)  # right four times in five
    logits = np.stack([np.where(true == 0, 6.0, -6.0), np.where(true == 1, 6.0, -6.0), np.full(400, -20.0)], axis=1)
    assert calibrate(logits, labels, np.ones(400)).temperature > 3


def test_interval_holds_the_figure_and_copies_do_not_narrow_it() -> None:
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], 100)
    p = np.where(rng.random(200) < 0.9, 1.0 - labels, labels).astype(float)
    alone = bootstrap(p, labels, [str(i) for i in range(200)], 0.5)
    assert alone[0] < score(p, labels).balanced < alone[1]
    twins = bootstrap(np.repeat(p, 9), np.repeat(labels, 9), [str(i // 9) for i in range(1800)], 0.5)
    assert twins == pytest.approx(alone, abs=0.01)  # nine copies of each face tell nothing new


def test_interval_of_one_class_is_not_a_number() -> None:
    assert all(math.isnan(v) for v in bootstrap(np.array([0.9]), np.array([0]), ["a"], 0.5))


@pytest.mark.parametrize("threshold", [0.2, 0.8])
def test_threshold_is_the_least_p_mask_that_says_mask(threshold: float) -> None:
    assert score(np.array([threshold]), np.array([0]), threshold).mask_right == 1.0
