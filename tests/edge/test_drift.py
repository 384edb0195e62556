"""The drift alarm: lives of doors, told in days."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.drift import DAY_S, LEARNED_DAYS, LEAST, OUT_DAYS, PEOPLE, USUAL_DAYS, Day, Measure, Past, sureness

SUMS = st.floats(0, 1)


def a_day(uncertain: float = 0.04, sure: float = 0.95, grey: float = 110.0, people: int = 300) -> Day:
    """uncertain: share; sure: mean sureness; grey: mean brightness."""
    return Day(DAY_S, people, round(uncertain * people), sure * people, people, grey * people)


def lived(days: list[Day], past: Past | None = None) -> Past:
    past = past or Past()
    for day in days:
        past = past.after(day)
    return past


def some_usual(count: int = USUAL_DAYS) -> list[Day]:
    chance = random.Random(1)
    return [a_day(chance.gauss(0.05, 0.01), chance.gauss(0.94, 0.01), chance.gauss(110, 5)) for _ in range(count)]


def test_days_like_the_others_are_no_alarm() -> None:
    past = lived(some_usual(100))
    assert past.alarms == ()
    assert len(past.usual) == USUAL_DAYS


FAULTS: dict[Measure, Day] = {
    "uncertain": a_day(uncertain=0.15),
    "sureness": a_day(sure=0.80),
    "brightness": a_day(grey=50.0),
}


@pytest.mark.parametrize("measure", LEAST)
def test_each_measure_is_an_alarm_on_the_last_of_some_days_in_a_row_and_no_other_is(measure: Measure) -> None:
    past = lived(some_usual())
    for _ in range(OUT_DAYS - 1):
        past = past.after(FAULTS[measure])
        assert past.alarms == ()
    assert past.after(FAULTS[measure]).alarms == (measure,)


@pytest.mark.parametrize("better", [a_day(uncertain=0.0), a_day(sure=1.0)], ids=["certain", "surer"])
def test_what_gets_better_is_no_alarm(better: Day) -> None:
    days = [a_day(0.10 + 0.002 * n, 0.80 + 0.002 * n) for n in range(USUAL_DAYS)]
    assert lived([*days, *[better] * OUT_DAYS]).alarms == ()


def test_the_picture_may_get_too_bright_too() -> None:
    assert lived([*some_usual(), *[a_day(grey=200.0)] * OUT_DAYS]).alarms == ("brightness",)


def test_the_first_usual_day_ends_an_alarm() -> None:
    past = lived([*some_usual(), *[FAULTS["uncertain"]] * (OUT_DAYS + 5)])
    assert past.alarms == ("uncertain",)
    assert past.after(a_day()).alarms == ()


def test_a_fault_that_lasts_does_not_become_the_usual_before_four_weeks_of_it() -> None:
    past = lived([*some_usual(), *[FAULTS["uncertain"]] * (USUAL_DAYS - 1)])
    assert past.alarms == ("uncertain",)
    assert past.usual_value("uncertain") == pytest.approx(0.05, abs=0.01)
    past = past.after(FAULTS["uncertain"])
    assert past.alarms == ()
    assert past.usual_value("uncertain") == pytest.approx(0.15)


def test_while_it_learns_nothing_is_an_alarm_and_nothing_is_called_usual() -> None:
    past = lived(some_usual(LEARNED_DAYS - 1))
    assert past.usual_value("uncertain") is None
    assert lived([a_day(uncertain=0.9)], past).out == ()


def test_a_door_that_was_always_certain_is_not_alarmed_by_three_who_are_not() -> None:
    days = [a_day(uncertain=0.0, people=PEOPLE) for _ in range(USUAL_DAYS)]
    assert lived([*days, *[a_day(uncertain=2 / PEOPLE, people=PEOPLE)] * OUT_DAYS]).alarms == ()
    assert lived([*days, *[a_day(uncertain=9 / PEOPLE, people=PEOPLE)] * OUT_DAYS]).alarms == ("uncertain",)


def test_a_significant_difference_that_does_not_matter_is_no_alarm() -> None:
    days = [a_day(uncertain=0.04, people=100_000)] * USUAL_DAYS
    assert lived([*days, *[a_day(uncertain=0.08, people=100_000)] * OUT_DAYS]).alarms == ()


def test_two_different_measures_on_days_in_a_row_are_no_alarm() -> None:
    faults = [FAULTS["uncertain"], FAULTS["brightness"]] * OUT_DAYS
    assert lived([*some_usual(), *faults]).alarms == ()


def test_where_no_frame_was_looked_at_brightness_says_nothing() -> None:
    days = [Day(DAY_S, 100, 4, 95.0) for _ in range(USUAL_DAYS)]
    past = lived(days)
    assert past.usual_value("brightness") is None
    assert lived([FAULTS["brightness"]] * OUT_DAYS, past).alarms == ()


def test_a_day_lasts_24_hours_and_until_there_were_enough_people() -> None:
    assert not Day(DAY_S * 5, PEOPLE - 1).is_over
    assert not Day(DAY_S - 1, 10_000).is_over
    assert Day(DAY_S, PEOPLE).is_over


def test_sureness_grows_with_p_mask_s_distance_from_a_half_alike_on_both_sides() -> None:
    assert [sureness(p) for p in (0.5, 0.001, 0.999, 0.0, 1.0)] == pytest.approx([0, 1, 1, 1, 1])
    assert sureness(0.99) == pytest.approx(sureness(0.01))
    assert sureness(0.6) < sureness(0.3) < sureness(0.9)


PEOPLE_OF_A_DAY = st.integers(1, 2000)


@st.composite
def any_day(draw: st.DrawFn) -> Day:
    people, lit = draw(PEOPLE_OF_A_DAY), draw(st.integers(0, 2000))
    uncertain = draw(st.integers(0, people))
    return Day(DAY_S, people, uncertain, draw(SUMS) * people, lit, draw(st.floats(0, 255)) * lit)


@given(st.lists(any_day(), max_size=120))
def test_whatever_the_days_the_past_is_bounded_and_an_alarm_needs_days_out(days: list[Day]) -> None:
    past = Past()
    for day in days:
        before, past = past, past.after(day)
        assert len(past.usual) <= USUAL_DAYS
        assert len(past.out) < USUAL_DAYS
        assert all(one.out for one in past.out)
        assert not any(one.out for one in past.usual)
        if past.alarms:
            assert len(past.out) >= OUT_DAYS
            assert len(before.usual) >= LEARNED_DAYS


@given(any_day(), st.integers(LEARNED_DAYS, 60))
def test_a_door_at_which_every_day_is_the_same_is_never_alarmed(day: Day, count: int) -> None:
    assert lived([day] * count).out == ()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_the_sums_of_a_day_do_not_depend_on_the_order_of_people(people: list[tuple[float, bool]]) -> None:
    def summed(order: list[tuple[float, bool]]) -> Day:
        day = Day()
        for p_mask, is_uncertain in order:
            day = day.plus(p_mask, is_uncertain=is_uncertain)
        return day

    there, back = summed(people), summed(people[::-1])
    assert (
        (there.decided, there.uncertain) == (back.decided, back.uncertain) == (len(people), sum(u for _, u in people))
    )
    assert there.sureness == pytest.approx(back.sureness)
    assert 0 <= there.sureness <= len(people) + 1e-6
