import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.metrics import (
    Calibration,
    Floats,
    Ints,
    bootstrap,
    calibrate,
    calibration_diagram,
    cross_calibrated,
    expected_calibration_error,
    interval,
    probabilities,
    recall_draws,
    resampled,
    score,
    wilson,
)

FACES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), min_size=1, max_size=40)
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


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(2, 40))
def test_interval_of_no_mistakes_has_a_lower_end_that_nears_one_with_more_groups(masked: int, bare: int) -> None:
    low, high = all_right(masked, bare)
    assert low < all_right(2 * masked, 2 * bare)[0] < high == 1
    assert low <= (wilson(masked, masked)[0] + wilson(bare, bare)[0]) / 2 < wilson(masked + bare, masked + bare)[0]


def all_right(masked: int, bare: int) -> tuple[float, float]:
    """The interval of a model that is right on so many groups of each class, of two faces each."""
    labels = np.array([0, 0] * masked + [1, 1] * bare)
    return bootstrap(1.0 - labels, labels, [str(i // 2) for i in range(len(labels))], 0.5)


def test_interval_is_no_point_where_all_mistakes_lie_in_one_group() -> None:
    labels = np.array([0] * 25 + [1] * 25)
    p_mask = np.where(np.arange(50) < 3, 0.1, 1.0 - labels)
    low, high = bootstrap(p_mask, labels, ["0", "0", "0", *map(str, range(3, 50))], 0.5)
    assert low < 0.85
    assert high > 0.97


def test_class_of_one_group_has_no_interval() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert all(math.isnan(v) for v in bootstrap(1.0 - labels, labels, ["a", "a", "a", "b", "c"], 0.5))


def test_interval_of_many_mistakes_is_that_of_the_bootstrap() -> None:
    labels = np.tile([0, 1], 200)
    p_mask = np.where(np.arange(400) % 10 < 2, labels, 1.0 - labels)
    groups = [str(i) for i in range(400)]
    assert bootstrap(p_mask, labels, groups, 0.5) == interval(recall_draws(p_mask, labels, groups, 0.5).mean(axis=1))


def test_interval_of_one_class_is_not_a_number() -> None:
    assert all(math.isnan(v) for v in bootstrap(np.array([0.9]), np.array([0]), ["a"], 0.5))


@pytest.mark.parametrize("threshold", [0.2, 0.8])
def test_threshold_is_the_least_p_mask_that_says_mask(threshold: float) -> None:
    assert score(np.array([threshold]), np.array([0]), threshold).mask_right == 1.0


@given(FACES)
def test_calibration_error_is_a_share_and_the_diagram_holds_every_face(faces: list[tuple[float, int]]) -> None:
    p_mask, labels = np.array([p for p, _ in faces]), np.array([label for _, label in faces])
    assert 0 <= expected_calibration_error(p_mask, labels) <= 1
    diagram = calibration_diagram(p_mask, labels)
    assert sum(b.n for b in diagram) == len(faces)
    assert all(b.low - 1e-9 <= b.said <= b.high + 1e-9 and b.ci95[0] <= b.true <= b.ci95[1] for b in diagram)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_of_a_share_holds_it_and_narrows_with_more_faces(hits_of_n: tuple[int, int]) -> None:
    hits, n = hits_of_n
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    ten_times = wilson(10 * hits, 10 * n)
    assert ten_times[1] - ten_times[0] < high - low


def test_interval_of_a_share_is_that_of_the_textbook() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)  # Newcombe, 1998
    assert all(math.isnan(v) for v in wilson(0, 0))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_redrawn_groups_come_whole(sizes: list[int]) -> None:
    groups = [str(g) for g, size in enumerate(sizes) for _ in range(size)]
    drawn = next(resampled(np.eye(len(sizes))[[int(g) for g in groups]], groups))
    assert all(count % size == 0 for count, size in zip(drawn, sizes, strict=True))


def looks(seed: int, n: int = 80) -> tuple[Floats, Ints, list[str]]:
    """Logits, labels and groups of two faces each, of a model that is too sure."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return rng.normal(0, 2, (n, 3)) + 3 * np.eye(3)[labels], labels, [str(i // 2) for i in range(n)]


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(0, 39))
def test_no_answer_depends_on_a_face_of_its_own_group(seed: int, group: int) -> None:
    logits, labels, groups = looks(seed)
    first, second = 2 * group, 2 * group + 1
    before = cross_calibrated(logits, labels, np.ones(80), groups)
    logits[first] = (6, -6, 0) if labels[first] else (-6, 6, 0)  # so wrong that every fit that sees it moves
    after = cross_calibrated(logits, labels, np.ones(80), groups)
    assert after[second].tolist() == before[second].tolist()
    assert not np.array_equal(np.delete(after, first, axis=0), np.delete(before, first, axis=0))


def test_two_halves_of_whole_groups_have_a_calibration_each() -> None:
    logits, labels, groups = looks(3)
    answers = cross_calibrated(logits, labels, np.ones(80), groups)
    temperatures = (logits[:, 1] - logits[:, 2]) / np.log(answers[:, 1] / answers[:, 2])
    of_group = temperatures.reshape(-1, 2)
    assert of_group[:, 0] == pytest.approx(of_group[:, 1])
    values, counts = np.unique(temperatures.round(3), return_counts=True)
    assert len(values) == 2
    assert min(counts) >= 36


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 2, 1]])
def test_one_class_is_left_uncalibrated(labels: list[int]) -> None:
    logits = np.random.default_rng(1).normal(0, 1, (4, 3))
    answers = cross_calibrated(logits, np.array(labels), np.ones(4), ["a", "b", "c", "d"])
    assert answers == pytest.approx(probabilities(logits, Calibration()))


def test_faces_of_one_group_are_left_uncalibrated() -> None:
    logits, labels, _ = looks(1)
    answers = cross_calibrated(logits, labels, np.ones(80), ["one"] * 80)
    assert answers == pytest.approx(probabilities(logits, Calibration()))
