"""From looks to verdicts: one decision a person, soon, and only from what was seen well."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Decider, Rules
from edge.records import Look, Verdict
from tests.edge.lives import look, looks

probabilities = st.floats(0, 1)
qualities = st.floats(0, 1)
people = st.integers(1, 3)
lives = st.lists(st.tuples(people, probabilities, qualities), max_size=80)


def watch(decider: Decider, seen: list[Look]) -> list[Verdict]:
    return [v for k in seen for v in decider.observe([k])]


def told(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(v.kind, v.label) for v in verdicts]


@pytest.mark.parametrize(("p_mask", "label"), [(0.97, "mask"), (0.03, "no_mask")])
def test_a_clear_face_is_decided_once_within_half_a_second(p_mask: float, label: str) -> None:
    assert told(watch(Decider(), looks([p_mask] * 5))) == [("decided", label)]


def test_one_look_never_decides_however_sure_the_model_is() -> None:
    assert watch(Decider(), [look(0.0, 1.0)]) == []


def test_many_looks_at_the_same_instant_do_not_decide() -> None:
    assert watch(Decider(), [look(0.001 * i, 1.0) for i in range(50)]) == []


def test_a_doubtful_face_is_uncertain_after_a_bounded_number_of_looks() -> None:
    verdicts = watch(Decider(Rules(max_looks=20)), looks([0.6, 0.4] * 30))
    assert told(verdicts) == [("decided", "uncertain")]
    assert verdicts[0].looks == 20


def test_looks_of_quality_nought_never_vote() -> None:
    decider = Decider()
    assert watch(decider, looks([0.0] * 50, quality=0.0)) == []
    assert told(decider.leave(1, stayed_s=4.9)) == [("decided", "uncertain"), ("left", "uncertain")]


def test_a_covered_face_does_not_become_no_mask() -> None:
    decider = Decider()
    watch(decider, looks([0.1] * 20, quality=0.0))
    assert decider.leave(1, stayed_s=2.0)[0] == Verdict("decided", 1, "uncertain", 0.5, looks=0)


def test_somebody_who_was_hardly_there_and_never_well_seen_is_not_told_of() -> None:
    decider = Decider()
    watch(decider, looks([0.1] * 3, quality=0.0))
    assert decider.leave(1, stayed_s=0.3) == []


def test_a_short_visit_is_decided_when_it_ends() -> None:
    decider = Decider()
    watch(decider, looks([0.9, 0.9]))
    assert told(decider.leave(1, stayed_s=0.2)) == [("decided", "mask"), ("left", "mask")]


def test_a_mask_put_on_is_told_once_after_it_stood_for_a_second() -> None:
    verdicts = watch(Decider(), looks([0.02] * 20 + [0.98] * 30))
    assert told(verdicts) == [("decided", "no_mask"), ("changed", "mask")]
    assert verdicts[1].was == "no_mask"


@given(st.floats(1.0, 60.0))
def test_a_mask_put_on_is_told_at_every_frame_rate(fps: float) -> None:
    life = [look(i / fps, 0.02 if i / fps < 6 else 0.98) for i in range(round(12 * fps))]
    verdicts = watch(Decider(), life)
    assert told(verdicts) == [("decided", "no_mask"), ("changed", "mask")]


def test_a_hand_before_the_mouth_for_half_a_second_changes_nothing() -> None:
    assert told(watch(Decider(), looks([0.02] * 20 + [0.95] * 5 + [0.02] * 30))) == [("decided", "no_mask")]


def test_who_was_away_and_comes_back_with_a_mask_is_looked_at_for_a_second_first() -> None:
    before, after = looks([0.02] * 20), looks([0.98] * 15, start_s=3.5)
    decider = Decider()
    watch(decider, before)
    assert watch(decider, after[:9]) == []
    assert told(watch(decider, after[9:])) == [("changed", "mask")]


@pytest.mark.parametrize("hole_s", [1.6, 57.0])
def test_a_hand_before_and_after_a_hole_in_which_nothing_was_seen_changes_nothing(hole_s: float) -> None:
    decider = Decider()
    before = looks([0.02] * 20 + [0.97] * 4)
    after = looks([0.97, 0.02, 0.02, 0.02] + [0.02] * 20, start_s=2.4 + hole_s)
    assert told(watch(decider, before + after)) == [("decided", "no_mask")]


def test_one_bad_look_at_a_flicker_is_not_told_of() -> None:
    decider = Decider()
    watch(decider, looks([0.4], quality=0.3))
    assert decider.leave(1, stayed_s=0.1) == []


def test_a_worthless_look_does_not_use_up_the_good_one_after_it() -> None:
    alone = watch(Decider(), [look(0.1 * i, 0.97) for i in range(6)])
    beside = watch(
        Decider(),
        sorted(
            (look(0.1 * i - d, 0.97, q) for i in range(6) for d, q in ((0, 1.0), (0.033, 0.01))), key=lambda k: k.t_s
        ),
    )
    assert [v.p_mask for v in beside] == pytest.approx([v.p_mask for v in alone], abs=0.005)


def test_the_models_threshold_counts_as_it_does_for_single_pictures() -> None:
    doubtful = looks([0.6] * 60)
    assert told(watch(Decider(Rules(threshold=0.3)), doubtful)) == [("decided", "mask")]
    verdicts = watch(Decider(Rules(threshold=0.85)), doubtful)
    assert told(verdicts) == [("decided", "no_mask")]
    assert verdicts[0].p_mask > 0.5


def test_a_flickering_answer_changes_nothing() -> None:
    assert told(watch(Decider(), looks([0.02] * 10 + [0.9, 0.1] * 30))) == [("decided", "no_mask")]


def test_a_badly_worn_mask_is_no_mask_and_said_to_be_incorrect() -> None:
    verdicts = watch(Decider(), [look(i / 10, 0.03, incorrect=0.95) for i in range(10)])
    assert [(v.label, v.incorrect) for v in verdicts] == [("no_mask", True)]


def test_a_bare_face_is_not_said_to_be_incorrect() -> None:
    verdicts = watch(Decider(), [look(i / 10, 0.03, incorrect=0.1) for i in range(10)])
    assert [(v.label, v.incorrect) for v in verdicts] == [("no_mask", False)]


def test_a_look_at_somebody_who_left_is_ignored() -> None:
    decider = Decider()
    watch(decider, looks([0.97] * 5))
    decider.leave(1, 0.5)
    assert watch(decider, looks([0.01] * 20, start_s=1.0)) == []
    assert decider.leave(1, 3.0) == []


def as_looks(life: list[tuple[int, float, float]]) -> list[list[Look]]:
    return [[look(i * 0.05, p, q, person)] for i, (person, p, q) in enumerate(life)]


@given(lives)
def test_nobody_is_ever_decided_twice(life: list[tuple[int, float, float]]) -> None:
    decider = Decider(Rules(max_looks=10))
    verdicts = [v for frame in as_looks(life) for v in decider.observe(frame)]
    for person in (1, 2, 3):
        own = [v for v in [*verdicts, *decider.leave(person, 10.0)] if v.person == person]
        if own:
            assert [v.kind for v in own].count("decided") == 1
            assert own[0].kind == "decided"
            assert own[-1].kind == "left"


@given(lives)
def test_two_runs_give_the_same_verdicts(life: list[tuple[int, float, float]]) -> None:
    first, second = Decider(), Decider()
    for frame in as_looks(life):
        assert first.observe(frame) == second.observe(frame)


@given(st.lists(st.tuples(probabilities, probabilities, probabilities), max_size=30), st.randoms())
def test_the_order_of_looks_within_a_frame_changes_nothing(life: list[tuple[float, ...]], rng: random.Random) -> None:
    first, second = Decider(), Decider()
    for i, ps in enumerate(life):
        frame = [look(i * 0.1, p, person=n) for n, p in enumerate(ps, 1)]
        assert first.observe(frame) == second.observe(rng.sample(frame, len(frame)))


@given(lives)
def test_a_change_always_turns_the_label_round(life: list[tuple[int, float, float]]) -> None:
    decider = Decider()
    labels: dict[int, str] = {}
    for frame in as_looks(life):
        for verdict in decider.observe(frame):
            if verdict.kind == "changed":
                assert verdict.was == labels[verdict.person] != verdict.label
            labels[verdict.person] = verdict.label
