"""How far a look can be trusted: sharp frontal faces within the frame fully, others less or not at all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.quality import inside_share, quality, ramp, sharpness, turn
from edge.records import Box, Face, ImageU8
from tests.edge.lives import face


def grain(height: int = 300, width: int = 400, seed: int = 3) -> ImageU8:
    """A picture full of detail, as a sharp camera gives it."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def turned(share: float) -> Face:
    """A face of 60 px whose nose is off the eyes' middle by ``share`` of their distance."""
    frontal = face(200, 150)
    (right, left, (_, nose_y), *mouth) = frontal.landmarks
    nose = ((right[0] + left[0]) / 2 + share * (left[0] - right[0]), nose_y)
    return Face(frontal.box, frontal.score, (right, left, nose, *mouth))


def test_a_sharp_frontal_face_counts_fully() -> None:
    assert quality(grain(), face(200, 150)) == 1.0


@pytest.mark.parametrize("x", [0, 400])
def test_a_face_half_out_of_the_frame_does_not_count(x: float) -> None:
    assert quality(grain(), face(x, 150)) == 0.0


def test_a_face_that_leaves_the_frame_counts_less_and_less() -> None:
    shares = [quality(grain(), face(x, 150, size=100)) for x in (50, 40, 30, 20)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert shares[-1] == 0.0


def test_a_face_beside_the_picture_does_not_count() -> None:
    assert quality(grain(), face(900, 900)) == 0.0


def test_a_head_turned_aside_counts_less() -> None:
    half, profile = (quality(grain(), turned(share)) for share in (0.8, 1.3))
    assert 0 < profile < half < 1


def test_a_turn_to_either_side_is_the_same() -> None:
    assert turn(turned(0.6)) == pytest.approx(turn(turned(-0.6))) == pytest.approx(0.6)


def test_a_head_laid_on_the_shoulder_is_not_turned_aside() -> None:
    upright = face(0, 0)
    lying = Face(upright.box, 0.9, tuple((-y, x) for x, y in upright.landmarks))
    assert turn(lying) == pytest.approx(0.0)


def test_eyes_in_one_place_are_a_profile() -> None:
    assert turn(Face(Box(0, 0, 60, 60), 0.9, ((20, 20), (20.5, 20), (40, 30)))) > 1


def test_without_landmarks_a_face_counts_as_frontal() -> None:
    assert turn(Face(Box(0, 0, 60, 60), 0.9, ())) == 0.0


def test_one_flat_tone_does_not_count() -> None:
    assert quality(np.full((300, 400, 3), 128, np.uint8), face(200, 150)) == 0.0


def test_a_smeared_face_counts_less_than_a_sharp_one() -> None:
    smeared = cv2.GaussianBlur(grain(), (0, 0), 12).astype(np.uint8)
    assert sharpness(smeared, face(200, 150, size=200)) < 0.1 * sharpness(grain(), face(200, 150, size=200))


def test_a_near_face_is_not_called_sharper_than_the_same_face_further_off() -> None:
    near = cv2.GaussianBlur(grain(400, 400), (0, 0), 8).astype(np.uint8)
    far = cv2.resize(near, (200, 200), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert sharpness(near, face(200, 200, 360)) == pytest.approx(sharpness(far, face(100, 100, 180)), rel=0.15)


def test_inside_share_of_a_quarter_in_the_corner() -> None:
    assert inside_share(face(0, 0, 80), 400, 300) == pytest.approx(0.25)


@pytest.mark.parametrize(("value", "share"), [(-1, 0), (2, 0), (3, 0.5), (4, 1), (9, 1)])
def test_a_ramp_rises_from_nought_to_one(value: float, share: float) -> None:
    assert ramp(value, 2, 4) == share


@given(
    x=st.floats(-300, 700),
    y=st.floats(-300, 600),
    size=st.floats(1, 600),
    points=st.lists(st.tuples(st.floats(-500, 900), st.floats(-500, 900)), min_size=5, max_size=5),
)
def test_quality_is_between_nought_and_one_for_any_face(
    x: float, y: float, size: float, points: list[tuple[float, float]]
) -> None:
    found = Face(Box(x - size / 2, y - size / 2, size, size), 0.9, tuple(points))
    assert 0.0 <= quality(grain(), found) <= 1.0
