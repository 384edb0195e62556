"""The stages joined, with a detector and a reader of our own: small frames, true order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Decider
from edge.pipeline import Pipeline, Told
from edge.records import Box, Face, Frame, ImageU8, Reading
from edge.track import Tracker
from tests.edge.lives import FPS, face

MIN_PX = 32
SHAPE = (120, 160)
Scene = Sequence[Sequence[Face]]

faces = st.builds(face, x=st.floats(0, 159), y=st.floats(0, 119), size=st.floats(10, 80), score=st.floats(0.5, 1))
scenes = st.lists(st.lists(faces, max_size=3), max_size=25)


def frame(index: int) -> Frame:
    """A frame full of detail that tells its index in its first pixel."""
    image = np.random.default_rng(5).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    image[0, 0] = index
    return Frame(image, index, index / FPS, 1_795_594_502 + index / FPS)


class Script:
    """A detector that finds in each frame what the scene says."""

    name = "script"
    sure_score = 0.5

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def find(self, image_bgr: ImageU8) -> list[Face]:
        return list(self._scene[int(image_bgr[0, 0, 0])])


class Reads:
    """A reader that answers by the frame's index, and keeps a record of what it was asked."""

    def __init__(self, p_masks: Sequence[float] = ()) -> None:
        self._p_masks = p_masks
        self.asked: list[tuple[int, Box]] = []

    def read(self, image_bgr: ImageU8, box: Box) -> Reading:
        index = int(image_bgr[0, 0, 0])
        self.asked.append((index, box))
        return Reading(self._p_masks[index] if self._p_masks else 0.98, 0.0)


def play(scene: Scene, reader: Reads | None = None) -> list[Told]:
    pipeline = Pipeline(Script(scene), Tracker(), reader or Reads(), Decider(), MIN_PX)
    told = [one for index in range(len(scene)) for one in pipeline.process(frame(index))]
    return told + pipeline.finish()


def kinds(told: Sequence[Told]) -> list[tuple[str, int, str]]:
    return [(t.verdict.kind, t.verdict.person, t.verdict.label) for t in told]


def standing(frames: int, x: float = 80, y: float = 60, size: float = 50) -> list[list[Face]]:
    return [[face(x, y, size)] for _ in range(frames)]


def test_somebody_who_stands_there_is_decided_once_and_leaves_at_the_end() -> None:
    assert kinds(play(standing(20))) == [("decided", 1, "mask"), ("left", 1, "mask")]


def test_somebody_whom_nothing_could_judge_is_followed_and_uncertain() -> None:
    class Away(Reads):
        def read(self, image_bgr: ImageU8, box: Box) -> None:  # type: ignore[override]
            """The accelerator is away, and nothing else may judge."""

    told = play(standing(20), Away())
    assert kinds(told) == [("decided", 1, "uncertain"), ("left", 1, "uncertain")]
    assert [one.verdict.looks for one in told] == [0, 0]


def test_a_mask_taken_off_is_told() -> None:
    told = play(standing(40), Reads([0.98] * 15 + [0.02] * 25))
    assert kinds(told) == [("decided", 1, "mask"), ("changed", 1, "no_mask"), ("left", 1, "no_mask")]


def test_a_verdict_names_the_frame_it_was_reached_in_and_the_face_s_place_then() -> None:
    scene = [[face(60 + i, 60, 50)] for i in range(20)]
    decided = play(scene)[0]
    assert (decided.t_s, decided.utc_s) == (decided.frame / FPS, 1_795_594_502 + decided.frame / FPS)
    assert decided.box == scene[decided.frame][0].box


def test_who_left_is_told_where_they_were_last() -> None:
    told = play([*standing(15), *[[]] * 40])
    left = told[-1]
    assert left.verdict.kind == "left"
    assert left.box == face(80, 60, 50).box
    assert left.frame > 14


def test_a_gap_of_the_detector_is_not_filled_with_a_stale_crop() -> None:
    scene = standing(20)
    scene[8:12] = [[]] * 4
    reader = Reads()
    play(scene, reader)
    assert not {index for index, _ in reader.asked} & {8, 9, 10, 11}
    assert {12, 13} <= {index for index, _ in reader.asked}


def test_after_the_last_frame_nothing_is_read() -> None:
    reader = Reads()
    pipeline = Pipeline(Script(standing(10)), Tracker(), reader, Decider(), MIN_PX)
    for index in range(10):
        pipeline.process(frame(index))
    before = len(reader.asked)
    pipeline.finish()
    assert len(reader.asked) == before


def test_a_face_under_the_limit_is_no_person() -> None:
    reader = Reads()
    assert play(standing(30, size=20), reader) == []
    assert reader.asked == []


def test_a_person_whose_face_shrinks_a_little_under_the_limit_is_followed_but_not_read() -> None:
    scene = [*standing(15, size=40), *standing(10, size=28), *standing(15, size=40)]
    reader = Reads()
    assert kinds(play(scene, reader)) == [("decided", 1, "mask"), ("left", 1, "mask")]
    assert all(box.width >= MIN_PX for _, box in reader.asked)


def test_a_face_of_no_use_is_never_read_and_its_person_is_uncertain() -> None:
    reader = Reads()
    half_out = [[face(0, 60, 60)] for _ in range(30)]
    assert kinds(play(half_out, reader)) == [("decided", 1, "uncertain"), ("left", 1, "uncertain")]
    assert reader.asked == []


def test_two_people_are_told_apart() -> None:
    told = play([[face(40, 60, 40), face(120, 60, 40)] for _ in range(20)])
    assert sorted(kinds(told)) == [
        ("decided", 1, "mask"),
        ("decided", 2, "mask"),
        ("left", 1, "mask"),
        ("left", 2, "mask"),
    ]


def test_a_source_that_gave_no_frame_ends_without_a_word() -> None:
    assert Pipeline(Script([]), Tracker(), Reads(), Decider(), MIN_PX).finish() == []


@given(scenes)
def test_only_a_face_of_this_very_frame_is_ever_read(scene: Scene) -> None:
    reader = Reads()
    play(scene, reader)
    assert all(box in [f.box for f in scene[index]] for index, box in reader.asked)
    assert len(set(reader.asked)) <= sum(map(len, scene))


@given(scenes, st.randoms())
def test_two_runs_tell_the_same_whatever_the_order_of_faces_in_a_frame(scene: Scene, rng: np.random.Generator) -> None:
    shuffled = [rng.sample(list(faces), len(faces)) for faces in scene]  # type: ignore[attr-defined]
    assert play(scene) == play(scene) == play(shuffled)


@given(scenes, st.lists(st.floats(0, 1), min_size=25, max_size=25))
def test_everyone_told_of_is_decided_first_and_once_and_leaves_last(scene: Scene, p_masks: list[float]) -> None:
    told = play(scene, Reads(p_masks))
    for person in {t.verdict.person for t in told}:
        own = [t.verdict.kind for t in told if t.verdict.person == person]
        assert (own[0], own[-1]) == ("decided", "left")
        assert own[1:-1] == ["changed"] * (len(own) - 2)


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_a_frame_of_any_shape_is_taken(size: tuple[int, int]) -> None:
    class Whole(Script):
        def find(self, image_bgr: ImageU8) -> list[Face]:
            return [Face(Box(0, 0, 64, 64), 0.9, ())]

    pipeline = Pipeline(Whole([]), Tracker(), Reads([0.5] * 256), Decider(), MIN_PX)
    for index in range(5):
        assert pipeline.process(Frame(np.zeros((*size, 3), np.uint8), index, index / FPS, 0.0)) == []
