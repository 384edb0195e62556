from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import UsageError
from trainer.judge.costs import Costs, Sweep, cheapest_threshold, sweep
from trainer.judge.tables import saving

FACES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), min_size=1, max_size=30)
PRICES = st.floats(0, 50)
EVEN = Costs()


def swept(faces: list[tuple[float, int]], threshold: float = 0.5, costs: Costs = EVEN) -> Sweep:
    p_mask, labels = np.array([p for p, _ in faces]), np.array([label for _, label in faces])
    return sweep(p_mask, labels, [str(i) for i in range(len(faces))], threshold, costs)


@settings(max_examples=30)
@given(FACES)
def test_higher_threshold_calls_fewer_faces_masked(faces: list[tuple[float, int]]) -> None:
    points = swept(faces).points
    for lower, higher in pairwise(points):
        assert not lower.mask_wrong > higher.mask_wrong
        assert not lower.bare_wrong < higher.bare_wrong
        assert not lower.incorrect_wrong < higher.incorrect_wrong


@settings(max_examples=30)
@given(FACES, st.floats(0.01, 0.99), PRICES, PRICES)
def test_no_threshold_tried_is_cheaper_than_the_cheapest(
    faces: list[tuple[float, int]], threshold: float, missed: float, worn: float
) -> None:
    found = swept(faces, threshold, Costs(missed, worn))
    assert found.used in found.points
    assert found.used.threshold == threshold
    assert all(found.cheapest.cost <= p.cost + 1e-8 for p in found.points)
    assert found.saving >= -1e-8


def test_cost_counts_a_face_of_each_class_once_however_many_there_are() -> None:
    few = [(0.1, 0), (0.9, 0), (0.9, 1), (0.2, 2)]
    more_masked = few + few[:2] * 9
    assert swept(few).used.cost == swept(more_masked).used.cost == 0.5 + 1.0


def test_dear_missed_faces_ask_for_a_higher_threshold() -> None:
    faces = [(0.55, 0), (0.95, 0), (0.6, 1), (0.1, 1)]
    assert swept(faces, costs=Costs(missed=0.5)).cheapest.threshold <= 0.55
    assert swept(faces, costs=Costs(missed=5)).cheapest.threshold > 0.6


def test_threshold_in_use_is_left_alone_where_nothing_is_cheaper() -> None:
    found = swept([(0.9, 0), (0.1, 1)], threshold=0.37)
    assert found.cheapest == found.used
    assert "no threshold is cheaper" in saving(found)


def test_saving_that_rests_on_one_face_is_called_chance() -> None:
    found = swept([(0.4, 0), (0.9, 0), (0.9, 0), (0.1, 1), (0.2, 1)])
    assert found.saving == pytest.approx(1 / 3)
    assert "may be chance" in saving(found)


def test_saving_on_many_faces_is_not() -> None:
    found = swept([(0.4, 0), (0.1, 1)] * 40)
    assert found.ci95[0] > 0
    assert "chance" not in saving(found)


@pytest.mark.parametrize("missed", [float("nan"), float("inf"), -1.0])
def test_cost_that_is_no_number_is_refused(missed: float) -> None:
    with pytest.raises(UsageError, match="--cost-"):
        Costs(missed=missed)


def test_the_threshold_that_ships_is_the_middle_where_nothing_speaks_for_another() -> None:
    p_mask = np.array([0.99] * 20 + [0.01] * 20)
    labels = np.array([0] * 20 + [1] * 20)
    assert cheapest_threshold(p_mask, labels, [str(i) for i in range(40)], Costs()) == 0.5


def test_the_threshold_that_ships_keeps_badly_worn_masks_out_where_that_costs_few_worn_ones() -> None:
    p_mask = np.array([0.95] * 97 + [0.55] * 3 + [0.02] * 100 + [0.6] * 20 + [0.1] * 20)
    labels = np.array([0] * 100 + [1] * 100 + [2] * 40)
    groups = [str(i) for i in range(240)]
    assert 0.6 < cheapest_threshold(p_mask, labels, groups, Costs()) <= 0.95
    assert cheapest_threshold(p_mask, labels, groups, Costs(worn=0.0)) <= 0.55
