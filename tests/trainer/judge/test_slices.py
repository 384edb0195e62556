import json
import math

import numpy as np
import pytest

from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow
from trainer.judge.looks import Look
from trainer.judge.slices import as_json, cut, thin

LOOK = Look("sharp", "dim", "tan", "white", 20.0)


def faces(label: str, n: int, **changes: object) -> list[FaceRow]:
    return [row(label, group=f"{label}{i}", **changes) for i in range(n)]


def cut_of(rows: list[FaceRow], p_mask: list[float]) -> dict[str, object]:
    return dict(cut(np.array(p_mask), np.array([r.label_index for r in rows]), rows, 0.5, [LOOK] * len(rows)))


def test_every_face_lies_in_one_slice_of_size_and_one_of_source() -> None:
    rows = [row(shorter_px=px, source=s) for px in (20, 32, 47.9, 48, 500) for s in ("a", "b")]
    found = cut(np.zeros(10), np.ones(10, int), rows, 0.5)
    assert sum(s.n for name, s in found.items() if name.startswith("face_px:")) == 10
    assert [found[f"source:{s}"].n for s in "ab"] == [5, 5]
    assert found["face_px:32-48"].n == 4


def test_bare_face_with_two_flags_counts_once_among_all_hard_ones() -> None:
    rows = [*faces("no_mask", 2, flags="beard sunglasses"), *faces("no_mask", 1), *faces("mask", 1, flags="beard")]
    found = cut(np.zeros(4), np.array([r.label_index for r in rows]), rows, 0.5)
    assert (found["bare:beard"].n, found["bare:sunglasses"].n, found["bare:all_of_these"].n) == (2, 2, 2)


def test_slices_by_pixels_are_cut_only_where_they_were_looked_at() -> None:
    rows = faces("mask", 3)
    assert {"skin:tan", "light:dim", "mask_colour:white"} <= set(cut_of(rows, [0.9] * 3))
    assert not [name for name in cut(np.ones(3), np.zeros(3, int), rows, 0.5) if name.startswith("skin")]


def test_class_that_is_not_there_is_null_in_json() -> None:
    found = cut(np.array([0.9]), np.array([0]), faces("mask", 1), 0.5)
    told = as_json(found["source:drawn"])
    assert (told["mask_recall"], told["no_mask_recall"], told["ci95"]["no_mask_recall"]) == (1.0, None, [None, None])
    json.dumps(told, allow_nan=False)


def test_copies_of_one_person_are_counted_as_one_group() -> None:
    rows = [row("mask", group="same") for _ in range(5)]
    found = cut(np.ones(5), np.zeros(5, int), rows, 0.5)["source:drawn"]
    assert (found.n, found.groups) == (5, 1)


def test_intervals_count_people_and_not_their_snapshots() -> None:
    rows = [row("mask", group=f"p{i % 8}") for i in range(25)]
    found = cut(np.ones(25), np.zeros(25, int), rows, 0.5)["source:drawn"]
    assert found.ci95[0] == pytest.approx((0.676, 1.0), abs=1e-3)  # 8 of 8, where 25 of 25 would have 0.867
    assert as_json(found)["group_counts"] == {"mask": 8}
    halved = cut(np.array([0.9, 0.1] * 8), np.zeros(16, int), [row("mask", group=f"p{i // 2}") for i in range(16)], 0.5)
    assert halved["source:drawn"].ci95[0] == pytest.approx((0.2152, 0.7848), abs=1e-3)  # 4 of 8


def test_a_person_with_and_without_a_mask_counts_once_for_each() -> None:
    rows = [row("mask", group="same"), row("no_mask", group="same"), row("no_mask", group="other")]
    found = cut(np.array([0.9, 0.1, 0.1]), np.array([0, 1, 1]), rows, 0.5)["source:drawn"]
    assert (found.groups, found.group_counts) == (2, (1, 2, 0))


@pytest.mark.parametrize(("n", "wrong", "weak"), [(40, 8, True), (40, 1, False), (9, 9, False), (40, 2, False)])
def test_slice_is_weak_only_where_chance_does_not_explain_it(n: int, wrong: int, weak: bool) -> None:
    found = cut(np.array([0.1] * wrong + [0.9] * (n - wrong)), np.zeros(n, int), faces("mask", n), 0.5)
    assert found["source:drawn"].is_weak(0, overall=0.98) is weak


def test_badly_worn_masks_are_weak_where_too_many_are_called_mask() -> None:
    found = cut(np.array([0.9] * 10 + [0.1] * 10), np.full(20, 2), faces("incorrect", 20), 0.5)["badly_worn"]
    assert found.is_weak(2, overall=0.93)
    assert not found.is_weak(2, overall=0.4)
    assert not found.is_weak(0, overall=0.93)  # a class that is not there is not weak


def test_slices_of_few_faces_are_named() -> None:
    rows = [*faces("mask", 40, source="many"), *faces("mask", 3, source="few")]
    found = cut(np.ones(43), np.zeros(43, int), rows, 0.5)
    assert "source:few" in thin(found)
    assert "source:many" not in thin(found)
    assert math.isnan(found["source:few"].score.bare_right)
