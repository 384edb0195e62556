from collections import Counter

import numpy as np
import pytest

from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow
from trainer.learn.draws import CLASS_SHARE, draw, weights


def uneven() -> list[FaceRow]:
    """Nine masked faces of a large source, one of a small one, five bare and two badly worn."""
    masked = [row("mask", source="large") for _ in range(9)] + [row("mask", source="small")]
    return masked + [row("no_mask") for _ in range(5)] + [row("incorrect") for _ in range(2)]


def test_classes_are_drawn_by_their_share_however_many_there_are() -> None:
    rows = uneven()
    drawn = Counter(rows[i].label for i in draw(rows, 1000, seed=1, epoch=1))
    assert {label: round(n / 1000, 2) for label, n in drawn.items()} == pytest.approx(CLASS_SHARE, abs=0.02)


def test_large_source_counts_by_its_root() -> None:
    chance = weights(uneven())
    assert chance[:9].sum() / chance[9] == pytest.approx(3.0)


def test_hard_bare_face_comes_twice_as_often() -> None:
    chance = weights([row(flags="beard"), row()])
    assert chance[0] / chance[1] == pytest.approx(2.0)


def test_class_that_is_not_there_leaves_its_share() -> None:
    assert weights([row("mask"), row("no_mask")]).sum() == pytest.approx(1.0)


def test_epochs_differ_and_repeat_with_their_seed() -> None:
    rows = uneven()
    first, again, other = (draw(rows, 50, seed=1, epoch=e) for e in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
