import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.judge.curves import curves

SHARES = st.lists(st.floats(0, 1).map(lambda p: round(p, 2)), min_size=1, max_size=15)


@settings(max_examples=40)
@given(SHARES, SHARES)
def test_area_is_the_chance_that_a_mask_gets_more_than_a_bare_face(masked: list[float], bare: list[float]) -> None:
    found = curves(np.array(masked + bare), np.array([0] * len(masked) + [1] * len(bare)))
    pairs = [(m > b) + (m == b) / 2 for m in masked for b in bare]
    assert found.roc is not None
    assert found.roc.area == pytest.approx(np.mean(pairs))


@settings(max_examples=40)
@given(SHARES, SHARES)
def test_curves_stay_within_the_unit_square(masked: list[float], bare: list[float]) -> None:
    found = curves(np.array(masked + bare), np.array([0] * len(masked) + [1] * len(bare)))
    for curve in (found.roc, found.precision_recall):
        assert curve is not None
        assert min(*curve.x, *curve.y, curve.area) >= 0
        assert max(*curve.x, *curve.y, curve.area) <= 1 + 1e-9


def test_precision_does_not_depend_on_how_many_bare_faces_a_set_has() -> None:
    p_mask, labels = np.array([0.9, 0.6, 0.7, 0.1]), np.array([0, 0, 1, 1])
    few = curves(p_mask, labels).precision_recall
    many = curves(np.append(p_mask, [0.7, 0.1] * 9), np.append(labels, [1, 1] * 9)).precision_recall
    assert few is not None
    assert many is not None
    assert few.area == pytest.approx(many.area)


def test_badly_worn_faces_have_a_curve_of_their_own() -> None:
    found = curves(np.array([0.9, 0.1, 0.95]), np.array([0, 1, 2]))
    assert found.roc is not None
    assert found.roc_badly_worn is not None
    assert (found.roc.area, found.roc_badly_worn.area) == (1.0, 0.0)


@pytest.mark.parametrize("only", [0, 1, 2])
def test_one_class_alone_has_no_curve(only: int) -> None:
    found = curves(np.array([0.9, 0.1]), np.array([only, only]))
    assert (found.roc, found.precision_recall, found.roc_badly_worn) == (None, None, None)


def test_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(1)
    found = curves(rng.random(5000), rng.integers(0, 2, 5000)).roc
    assert found is not None
    assert len(found.x) <= 200
    assert (found.x[0], found.y[0], found.x[-1], found.y[-1]) == (0, 0, 1, 1)
