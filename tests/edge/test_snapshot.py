"""Pictures: none unless switched on; then one a decision, the best look, held no longer than that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Decider
from edge.opencv import cv2
from edge.pipeline import Pipeline, Told
from edge.records import Box, Face, ImageU8
from edge.snapshot import MAX_SIDE_PX, BestLooks, as_jpeg, small_crop
from edge.track import Tracker
from tests.edge.lives import face
from tests.edge.test_pipeline import MIN_PX, Reads, Scene, Script, frame, scenes, standing


def play(scene: Scene, looks: BestLooks | None, p_masks: list[float] | None = None) -> list[Told]:
    pipeline = Pipeline(Script(scene), Tracker(), Reads(p_masks or ()), Decider(), MIN_PX, looks=looks)
    told = [one for index in range(len(scene)) for one in pipeline.process(frame(index))]
    return told + pipeline.finish()


def image(width: int = 300, height: int = 200) -> ImageU8:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_without_looks_no_verdict_has_a_picture() -> None:
    assert [told.face_bgr for told in play(standing(20), None)] == [None, None]


@given(scenes, st.lists(st.floats(0, 1), min_size=25, max_size=25))
def test_every_decision_has_one_picture_no_other_verdict_has_any_and_none_is_kept(
    scene: list[list[Face]], p_masks: list[float]
) -> None:
    looks = BestLooks()
    for told in play(scene, looks, p_masks):
        assert (told.face_bgr is not None) == (told.verdict.kind == "decided")
    assert looks.held == 0


def test_pictures_change_no_verdict() -> None:
    assert play(standing(40), BestLooks(), [0.98] * 15 + [0.02] * 25) == play(
        standing(40), None, [0.98] * 15 + [0.02] * 25
    )


def test_nothing_is_held_of_a_person_who_is_decided_but_still_there() -> None:
    looks = BestLooks()
    pipeline = Pipeline(Script(standing(40)), Tracker(), Reads(), Decider(), MIN_PX, looks=looks)
    held = []
    for index in range(40):
        told = pipeline.process(frame(index))
        held.append((bool(told), looks.held))
    assert (False, 1) in held
    decided = next(i for i, (is_told, _) in enumerate(held) if is_told)
    assert {count for _, count in held[decided:]} == {0}


def test_the_picture_is_of_the_best_look_and_the_largest_of_equals() -> None:
    looks, picture = BestLooks(), image()
    for x, size, quality in ((50, 40, 0.5), (150, 50, 0.9), (250, 60, 0.9), (100, 80, 0.2)):
        looks.offer(1, picture, Box(x - size / 2, 60, size, size), quality)
    best = looks.take(1)
    assert best is not None
    assert np.array_equal(best, small_crop(picture, Box(220, 60, 60, 60)))


@pytest.mark.parametrize("box", [Box(-20, -10, 60, 60), Box(270, 170, 60, 60), Box(0, 0, 300, 200), Box(10, 10, 4, 3)])
def test_a_crop_is_small_a_copy_and_of_what_is_in_the_picture(box: Box) -> None:
    picture = image()
    crop = small_crop(picture, box)
    assert 0 < max(crop.shape[:2]) <= MAX_SIDE_PX
    assert not np.shares_memory(crop, picture)


def test_a_face_of_4k_becomes_a_small_picture() -> None:
    crop = small_crop(image(3840, 2160), Box(1000, 400, 1200, 1300))
    assert max(crop.shape[:2]) == MAX_SIDE_PX
    assert len(as_jpeg(crop)) < 150_000


def test_a_face_outside_the_picture_gives_none() -> None:
    looks = BestLooks()
    looks.offer(1, image(), Box(1000, 1000, 40, 40), 0.0)
    assert looks.take(1) is None


def test_the_jpeg_holds_no_metadata() -> None:
    jpeg = as_jpeg(image(64, 64))
    assert jpeg[:4] == b"\xff\xd8\xff\xe0"  # JFIF, and nothing of Exif
    assert b"Exif" not in jpeg
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) is not None


def test_a_person_seen_large_and_sharp_is_shown_so() -> None:
    scene = [[face(80, 60, 40 + i)] for i in range(20)]
    decided = next(told for told in play(scene, BestLooks()) if told.verdict.kind == "decided")
    assert decided.face_bgr is not None
    assert decided.face_bgr.shape[0] > 40
