import pytest

from edge.errors import DataError, UsageError
from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow
from trainer.learn.division import describe_division, divide


def source(name: str, masked: int, bare: int, held_out: int = 0) -> list[FaceRow]:
    """Faces of as many people; the first ``held_out`` of each class are held out."""
    rows = []
    for label, count in (("mask", masked), ("no_mask", bare)):
        for i in range(count):
            split = "held_out" if i < held_out else "train"
            rows.append(row(label, source=name, group=f"{name}:{label}{i}", split=split))
    return rows


FOUR = [*source("a", 150, 150, 10), *source("b", 110, 120), *source("c", 105, 40), *source("d", 130, 0)]


def test_smallest_source_with_enough_of_both_classes_is_spared() -> None:
    parts = divide(FOUR, ("auto",), ())
    assert parts.division.unseen == ("b",)
    assert {r.source for r in parts.judging} == {"b"}
    assert {r.source for r in parts.training} == {"a", "c", "d"}
    assert parts.division.selecting


def test_held_out_groups_judge_where_no_source_can_be_spared() -> None:
    parts = divide([*source("a", 150, 150, 10), *source("b", 110, 120)], ("auto",), ())
    assert parts.division.judged_on == "held_out"
    assert all(r.split == "held_out" for r in parts.judging)
    assert parts.division.selecting


def test_with_none_every_training_face_is_trained_on_and_nothing_selects() -> None:
    parts = divide(FOUR, ("none",), ())
    assert len(parts.training) == len(FOUR) - 20
    assert not parts.division.selecting


def test_left_out_source_takes_no_part_at_all() -> None:
    parts = divide(FOUR, ("none",), ("a",))
    assert "a" not in {r.source for r in (*parts.training, *parts.judging)}


def test_person_who_is_also_in_a_left_out_source_is_not_trained_on() -> None:
    kin = row("mask", source="c", group="a:mask0")
    parts = divide([*FOUR, kin], ("none",), ("a",))
    assert kin not in parts.training
    assert parts.division.kin == 1


def test_held_out_faces_of_known_sources_are_never_trained_on() -> None:
    assert all(r.split == "train" for r in divide(FOUR, ("b",), ()).training)


@pytest.mark.parametrize(("unseen", "leave_out"), [(("nowhere",), ()), (("none",), ("nowhere",))])
def test_source_that_is_not_there_is_named(unseen: tuple[str, ...], leave_out: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"nowhere.*a, b, c, d"):
        divide(FOUR, unseen, leave_out)


def test_one_class_left_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="both mask and no_mask"):
        divide([*source("a", 5, 5), *source("b", 5, 0)], ("a",), ())


@pytest.mark.parametrize(
    ("unseen", "leave_out", "why"),
    [
        (("a", "b"), ("a",), "a cannot be both --unseen"),
        (("d",), (), "d cannot judge: both mask and no_mask"),
        (("none", "b"), (), "--unseen none cannot be given with other"),
        (("b", "auto"), (), "--unseen auto cannot be given with other"),
    ],
)
def test_judges_that_could_not_judge_are_refused(unseen: tuple[str, ...], leave_out: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        divide(FOUR, unseen, leave_out)


def test_source_of_one_class_can_judge_beside_another() -> None:
    assert divide(FOUR, ("b", "d"), ()).division.selecting


def test_held_out_faces_of_one_class_select_nothing() -> None:
    rows = [r for r in source("a", 20, 20, 5) if r.label == "mask" or r.split == "train"]
    division = divide(rows, ("auto",), ()).division
    assert (division.judged_on, division.selecting) == ("held_out", False)
    assert "nothing is selected, the last weights are kept" in describe_division(division)


def test_recipe_that_selects_nothing_says_so_whoever_judges() -> None:
    told = describe_division(divide(FOUR, ("b",), (), may_select=False).division)
    assert "nothing is selected, the last weights are kept; figures are of 230 faces of unseen b" in told
    assert divide(FOUR, ("auto",), (), may_select=False).division.unseen == ()
