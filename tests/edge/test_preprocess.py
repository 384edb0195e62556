"""From a box to the classifier's input: whole squares, repeated borders, RGB."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.preprocess import crop_face, cut, square
from edge.records import Box, ImageU8
from tests.edge.bundles import BLUE_BGR, GREEN_BGR, RED_BGR, plain

sides = st.floats(0.5, 400)
margins = st.floats(0, 1)
pictures = st.tuples(st.integers(1, 60), st.integers(1, 80))


def counted(height: int, width: int) -> ImageU8:
    """Every pixel tells its place: (y, x, y + x)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, y + x], axis=2).astype(np.uint8)


def test_the_square_has_the_longer_side_and_the_box_s_middle() -> None:
    assert square(Box(100, 50, 40, 60), margin=0.0) == (90, 50, 60)


def test_the_margin_is_added_on_every_side() -> None:
    assert square(Box(100, 100, 40, 40), margin=0.25) == (90, 90, 60)


@pytest.mark.parametrize("box", [Box(5, 5, 0, 10), Box(5, 5, 10, 0), Box(5, 5, -3, 10)])
def test_a_box_without_area_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="box has no area"):
        square(box, 0.1)


@given(x=st.floats(-200, 2000), y=st.floats(-200, 2000), width=sides, height=sides, margin=margins)
def test_the_square_always_holds_the_box_up_to_rounding(
    x: float, y: float, width: float, height: float, margin: float
) -> None:
    left, top, side = square(Box(x, y, width, height), margin)
    assert side >= 1
    assert left <= x + 1
    assert top <= y + 1
    assert left + side >= x + width - 1
    assert top + side >= y + height - 1


def test_a_square_within_the_picture_is_cut_as_it_is() -> None:
    picture = counted(20, 30)
    assert np.array_equal(cut(picture, left=4, top=3, side=10), picture[3:13, 4:14])


def test_beyond_the_picture_its_border_is_repeated() -> None:
    patch = cut(counted(20, 30), left=-3, top=-2, side=8)
    assert patch.shape == (8, 8, 3)
    assert np.array_equal(patch[0], patch[2])
    assert np.array_equal(patch[:, 0], patch[:, 3])
    assert tuple(patch[5, 7]) == (3, 4, 7)


@given(pictures, st.integers(-70, 70), st.integers(-70, 70), st.integers(1, 150))
def test_every_pixel_of_a_cut_is_the_nearest_one_of_the_picture(
    size: tuple[int, int], left: int, top: int, side: int
) -> None:
    height, width = size
    picture = counted(height, width)
    if left >= width or top >= height or left + side <= 0 or top + side <= 0:
        with pytest.raises(ValueError, match="lies outside"):
            cut(picture, left, top, side)
        return
    rows, cols = np.clip(np.arange(top, top + side), 0, height - 1), np.clip(np.arange(left, left + side), 0, width - 1)
    assert np.array_equal(cut(picture, left, top, side), picture[np.ix_(rows, cols)])


@pytest.mark.parametrize("face_px", [5, 48, 96, 400])
def test_a_crop_has_the_model_s_size_whatever_the_face_s(face_px: int) -> None:
    crop = crop_face(counted(200, 250), Box(20, 10, face_px, face_px), margin=0.2, size_px=96)
    assert (crop.shape, crop.dtype.name) == ((96, 96, 3), "uint8")


@pytest.mark.parametrize(
    ("colour_bgr", "colour_rgb"),
    [(RED_BGR, (255, 0, 0)), (GREEN_BGR, (0, 255, 0)), (BLUE_BGR, (0, 0, 255)), ((10, 20, 30), (30, 20, 10))],
)
def test_a_crop_is_rgb(colour_bgr: tuple[int, int, int], colour_rgb: tuple[int, int, int]) -> None:
    crop = crop_face(plain(colour_bgr, 50, 50), Box(10, 10, 20, 20), margin=0.1, size_px=16)
    assert np.array_equal(np.unique(crop.reshape(-1, 3), axis=0), [colour_rgb])


def test_a_large_face_is_averaged_not_sampled() -> None:
    checks = np.kron((np.indices((50, 50)).sum(0) % 2 * 255).astype(np.uint8), np.ones((1, 1, 3), np.uint8))
    crop = crop_face(checks.reshape(50, 50, 3), Box(0, 0, 50, 50), margin=0.0, size_px=5)
    assert np.abs(crop.astype(int) - 127).max() <= 1


def test_a_crop_leaves_the_picture_as_it_was() -> None:
    picture = counted(40, 40)
    crop_face(picture, Box(-5, -5, 30, 30), margin=0.3, size_px=30)[:] = 0
    crop_face(picture, Box(5, 5, 20, 20), margin=0.0, size_px=20)[:] = 0
    assert np.array_equal(picture, counted(40, 40))


def test_a_box_off_the_picture_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match="square at 98,-2 of side 24 lies outside the 60x40 picture"):
        crop_face(plain(RED_BGR, 40, 60), Box(100, 0, 20, 20), margin=0.1, size_px=8)


@given(pictures, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), sides, sides, margins, st.integers(1, 40))
def test_any_box_with_its_middle_on_the_picture_gives_a_crop_of_the_picture_s_own_tones(
    size: tuple[int, int], across: float, down: float, width: float, height: float, margin: float, size_px: int
) -> None:
    rows, cols = size
    picture = counted(rows, cols)
    middle_x, middle_y = min(max(across, 0), 0.99) * cols, min(max(down, 0), 0.99) * rows
    crop = crop_face(picture, Box(middle_x - width / 2, middle_y - height / 2, width, height), margin, size_px)
    assert crop.shape == (size_px, size_px, 3)
    assert picture.min() <= crop.min()
    assert crop.max() <= picture.max()
