"""Lives of faces: who keeps a number, who gets a new one."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.records import Face
from edge.track import CONFIRM_HITS, Tracker
from tests.edge.lives import FPS, face, moving, persons, walk

Scene = list[list[Face]]
xs = st.floats(0, 640)
faces = st.builds(face, x=xs, y=st.floats(0, 480), size=st.floats(20, 200), score=st.floats(0.5, 1))
scenes = st.lists(st.lists(faces, max_size=4), max_size=30)


def dressed(scene: Scene, colour: float) -> Scene:
    """The same faces, with hair and clothes of one lightness (0-100)."""
    look = np.full((12, 3), (colour, 0.0, 0.0), np.float32)
    return [[replace(f, appearance=look) for f in frame] for frame in scene]


def test_a_person_who_walks_by_keeps_one_number() -> None:
    seen, _ = walk(Tracker(), moving(40, lambda i: (50 + 12 * i, 100, 50 + i)))
    assert persons(seen) == {1}


def test_a_face_seen_in_one_frame_only_is_no_person() -> None:
    seen, gone = walk(Tracker(), [[face(100)], *[[] for _ in range(40)]])
    assert not persons(seen)
    assert not gone


def test_a_person_is_known_from_the_third_frame_on() -> None:
    seen, _ = walk(Tracker(), moving(5, lambda i: (100, 100)))
    assert [bool(s) for s in seen] == [i + 1 >= CONFIRM_HITS for i in range(5)]


def test_half_a_second_without_a_detection_does_not_make_a_second_person() -> None:
    scene = moving(30, lambda i: (100 + 8 * i, 100))
    scene[12:17] = [[]] * 5
    assert persons(walk(Tracker(), scene)[0]) == {1}


def test_a_coasting_person_is_not_sighted() -> None:
    scene = moving(20, lambda i: (100, 100))
    scene[10:14] = [[]] * 4
    seen, _ = walk(Tracker(), scene)
    assert all(not frame for frame in seen[10:14])


def test_a_cut_of_a_few_centimetres_does_not_make_a_second_person() -> None:
    scene = moving(15, lambda i: (100, 100)) + moving(15, lambda i: (138, 88))
    assert persons(walk(Tracker(), scene)[0]) == {1}


def test_two_people_who_cross_keep_their_numbers() -> None:
    scene = [[face(100 + 10 * i, 100, 60), face(500 - 10 * i, 110, 66)] for i in range(40)]
    for hidden in range(18, 23):  # one passes behind the other
        scene[hidden] = scene[hidden][:1]
    seen, _ = walk(Tracker(), scene)
    assert persons(seen) == {1, 2}
    left = min(seen[5], key=lambda p: seen[5][p].box.x)
    assert seen[-1][left].box.x > 400


def test_who_comes_back_within_two_seconds_where_they_left_is_the_same_person() -> None:
    scene = moving(20, lambda i: (300, 100)) + [[]] * 15 + moving(20, lambda i: (310, 95))
    assert persons(walk(Tracker(return_s=2.0), scene)[0]) == {1}


def test_who_comes_back_later_is_another_person() -> None:
    scene = moving(20, lambda i: (300 + 3 * i, 100)) + [[]] * 25 + moving(20, lambda i: (360, 95))
    seen, gone = walk(Tracker(return_s=2.0), scene)
    assert persons(seen) == {1, 2}
    assert [(g.person, round(g.stayed_s, 1)) for g in gone] == [(1, 1.9)]


def test_someone_who_appears_elsewhere_meanwhile_is_another_person() -> None:
    scene = moving(20, lambda i: (100, 100)) + moving(20, lambda i: (500, 300))
    assert persons(walk(Tracker(), scene)[0]) == {1, 2}


def test_the_next_in_a_queue_at_the_same_place_is_another_person() -> None:
    first = dressed(moving(20, lambda i: (300, 100)), colour=20)
    second = dressed(moving(20, lambda i: (310, 95)), colour=60)
    assert persons(walk(Tracker(), [*first, *[[]] * 10, *second])[0]) == {1, 2}


def test_who_comes_out_fast_from_behind_another_is_known_by_hair_and_clothes() -> None:
    before = dressed(moving(10, lambda i: (100 + 15 * i, 100)), colour=20)
    behind = dressed(moving(10, lambda i: (325 + 30 * i, 100)), colour=22)
    assert persons(walk(Tracker(), [*before, *[[]] * 3, *behind])[0]) == {1}


def test_two_people_of_the_same_looks_at_the_same_place_do_not_confuse_it() -> None:
    twins = dressed([[face(100), face(100)]] * 3, colour=20)
    assert persons(walk(Tracker(), [*twins, *[[]] * 40])[0]) == {1, 2}


def test_a_poster_that_the_detector_keeps_losing_is_counted_once() -> None:
    rng = random.Random(7)
    scene: Scene = []
    for _ in range(12):
        scene += moving(100, lambda i: (200 + rng.uniform(-1, 1), 80 + rng.uniform(-1, 1), 40)) + [[]] * 50
    assert persons(walk(Tracker(), scene)[0]) == {1}


@pytest.mark.parametrize(("on", "off"), [(50, 30), (10, 30), (100, 50), (8, 200)])
def test_a_poster_is_counted_once_however_it_flickers(on: int, off: int) -> None:
    rng = random.Random(3)
    scene: Scene = []
    for _ in range(15):
        scene += moving(on, lambda i: (200 + rng.uniform(-1, 1), 80 + rng.uniform(-1, 1), 40)) + [[]] * off
    seen, gone = walk(Tracker(), scene)
    assert persons(seen) == {1}
    assert [g.person for g in gone] == [1]


def test_who_stood_still_and_ducks_away_for_a_second_is_the_same_person() -> None:
    scene = moving(100, lambda i: (200, 100)) + [[]] * 10 + moving(20, lambda i: (242, 100))
    assert persons(walk(Tracker(), scene)[0]) == {1}


def test_the_next_who_walks_up_to_the_same_spot_is_another_person() -> None:
    first = moving(100, lambda i: (200, 100))
    second = moving(20, lambda i: (400 - 10 * i, 100)) + moving(50, lambda i: (200, 100))
    assert persons(walk(Tracker(), first + [[]] * 100 + second)[0]) == {1, 2}


def test_who_stands_where_a_thing_was_but_moves_is_a_person() -> None:
    scene = moving(30, lambda i: (200, 100)) + [[]] * 40 + moving(40, lambda i: (200 + 2 * i, 100))
    assert persons(walk(Tracker(), scene)[0]) == {1, 2}


@pytest.mark.parametrize("fps", [0.5, 1, 1.5, 1.9, 2, 5, 15, 30, 60])
def test_a_person_is_met_once_at_every_frame_rate(fps: float) -> None:
    scene = moving(round(20 * fps) + 4, lambda i: (100 + 20 * i / fps, 100))
    assert persons(walk(Tracker(), scene, fps)[0]) == {1}


def test_a_lamp_that_changes_the_colours_makes_nobody_new_for_a_slow_camera() -> None:
    scene = [frame for i in range(20) for frame in dressed([[face(100 + 5 * i)]], colour=20 + 40 * (i % 2))]
    assert persons(walk(Tracker(), scene, fps=3)[0]) == {1}


def test_three_frames_of_a_fast_camera_are_no_person() -> None:
    assert not persons(walk(Tracker(), moving(4, lambda i: (100, 100)) + [[]] * 60, fps=60)[0])


def test_a_person_who_stops_before_a_poster_is_another_person() -> None:
    poster = moving(150, lambda i: (200, 80, 40))
    person = moving(30, lambda i: (400 - 4 * i, 120, 90))
    assert persons(walk(Tracker(), poster + person)[0]) == {1, 2}


def test_a_face_of_low_score_does_not_begin_a_person_but_keeps_one() -> None:
    surely = [[face(100, score=0.9)]] * 5
    hardly = [[face(100, score=0.62)]] * 20
    assert not persons(walk(Tracker(sure_score=0.75), hardly)[0])
    seen, _ = walk(Tracker(sure_score=0.75), surely + hardly)
    assert list(seen[-1]) == [1]


def test_hair_taken_for_a_second_face_above_a_better_one_is_no_person() -> None:
    scene = [[face(100, 100, score=0.9), face(105, 60, score=0.8)]] * 20
    assert persons(walk(Tracker(), scene)[0]) == {1}


@given(scenes, st.lists(st.floats(0, 100), min_size=4, max_size=4), st.randoms())
def test_the_order_of_faces_in_a_frame_changes_nothing_for_dressed_people_either(
    scene: Scene, colours: list[float], rng: random.Random
) -> None:
    worn = [
        [replace(f, appearance=np.full((12, 3), (c, 0, 0), np.float32)) for f, c in zip(frame, colours, strict=False)]
        for frame in scene
    ]
    apart = [frame for frame in worn if len({f.box for f in frame}) == len(frame)]  # twins in one box are one face
    shuffled = [rng.sample(frame, len(frame)) for frame in apart]
    assert walk(Tracker(), apart) == walk(Tracker(), shuffled)


@given(scenes, st.randoms())
def test_the_order_of_faces_in_a_frame_changes_nothing(scene: Scene, rng: random.Random) -> None:
    shuffled = [rng.sample(frame, len(frame)) for frame in scene]
    assert walk(Tracker(), scene) == walk(Tracker(), shuffled)


@given(scenes)
def test_two_runs_give_the_same_persons(scene: Scene) -> None:
    assert walk(Tracker(), scene) == walk(Tracker(), scene)


@given(scenes)
def test_every_sighting_is_a_face_of_that_very_frame_and_nobody_is_seen_twice_in_it(scene: Scene) -> None:
    tracker = Tracker()
    for index, frame in enumerate(scene):
        sightings = tracker.update(index / FPS, frame).sightings
        assert all(s.face in frame for s in sightings)
        assert len({s.person for s in sightings}) == len(sightings)


@given(scenes)
@settings(max_examples=50)
def test_everyone_seen_goes_exactly_once_and_is_never_seen_again(scene: Scene) -> None:
    tracker = Tracker()
    gone: set[int] = set()
    seen: set[int] = set()
    for index, frame in enumerate([*scene, *[[]] * 30]):
        tracked = tracker.update(index / FPS, frame)
        leavers = {g.person for g in tracked.gone}
        assert not leavers & gone
        gone |= leavers
        now = {s.person for s in tracked.sightings}
        assert not now & gone
        seen |= now
    leavers = {g.person for g in tracker.finish()}
    assert not leavers & gone
    assert gone | leavers == seen == set(range(1, len(seen) + 1))
