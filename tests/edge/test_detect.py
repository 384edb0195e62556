"""Faces in a frame: the arithmetic by hand, the two networks on pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import third_party
from edge.detect import (
    BORDER_PX,
    STRIDE_PX,
    CenterFace,
    Detector,
    Scaling,
    YuNet,
    decode_centerface,
    fit,
    keep_on_picture,
    unfit,
)
from edge.errors import InputMissing
from edge.records import Box, Face, ImageU8
from edge.sources.images import read_image
from edge.third_party import locate, named
from tests.edge.bundles import DATA, plain
from tests.edge.lives import face

PORTRAITS = ("portrait_bare.jpg", "portrait_mask.jpg")
KINDS: dict[str, Callable[[bytes], Detector]] = {"yunet": YuNet, "centerface": CenterFace}
Map = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=KINDS)
def detector(request: pytest.FixtureRequest) -> Detector:
    return fresh(request.param)


def fresh(name: str) -> Detector:
    try:
        return KINDS[name](locate(name).data)
    except InputMissing as error:
        if name == "centerface":
            raise
        pytest.skip(f"{error} (its publisher could not be reached)")


# --- a picture into a detector's canvas, and back ---


@pytest.mark.parametrize(("width", "height", "factor"), [(1280, 720, 0.5), (400, 640, 1.0), (320, 200, 2.0)])
def test_a_picture_is_brought_to_the_long_side(width: int, height: int, factor: float) -> None:
    assert Scaling(640).factor(width, height) == factor


def test_a_close_up_is_not_blown_up() -> None:
    assert Scaling(640).factor(299, 200) == 1.0


@given(st.integers(1, 900), st.integers(1, 900))
def test_a_canvas_is_a_multiple_of_the_stride_with_air_on_every_side(width: int, height: int) -> None:
    canvas, factor = fit(plain((9, 9, 9), height, width), Scaling(320))
    rows, cols, _ = canvas.shape
    assert rows % STRIDE_PX == cols % STRIDE_PX == 0
    assert 0 <= cols - max(1, round(width * factor)) - 2 * BORDER_PX < STRIDE_PX
    assert 0 <= rows - max(1, round(height * factor)) - 2 * BORDER_PX < STRIDE_PX


def test_the_air_repeats_the_picture_s_border() -> None:
    picture = plain((1, 2, 3), 64, 64)
    picture[:, -1] = (200, 200, 200)
    canvas, _ = fit(picture, Scaling(640))
    assert np.all(canvas[:, BORDER_PX + 63 :] == 200)
    assert np.all(canvas[:, : BORDER_PX + 63] == (1, 2, 3))


@given(
    st.tuples(st.integers(100, 2000), st.integers(100, 2000)),
    st.floats(0, 2000),
    st.floats(0, 2000),
    st.floats(4, 500),
    st.sampled_from([160, 640, 1920]),
)
def test_a_face_comes_back_to_where_it_was(
    size: tuple[int, int], x: float, y: float, side: float, long_side_px: int
) -> None:
    true, factor = face(x, y, side), Scaling(long_side_px).factor(*size)
    box = Box(*(np.array(true.box) * factor + (BORDER_PX, BORDER_PX, 0, 0)))
    points = (np.array(true.landmarks) * factor + BORDER_PX).astype(np.float32)
    found = unfit(box, points, 0.9, factor)
    assert found.score == 0.9
    assert np.allclose(found.box, true.box, atol=0.01)
    assert np.allclose(found.landmarks, true.landmarks, atol=0.01)


def test_faces_whose_middle_is_off_the_picture_are_dropped() -> None:
    faces = [face(-1, 50), face(50, 120), face(0, 0), face(99, 99)]
    assert {f.box.center for f in keep_on_picture(faces, width=100, height=100)} == {(0, 0), (99, 99)}


@given(st.permutations([face(10, 10, 20), face(50, 50, 40), face(80, 20, 20), face(10, 60, 20)]))
def test_faces_come_from_large_to_small_whatever_their_order(faces: list[Face]) -> None:
    centers = [f.box.center for f in keep_on_picture(faces, 100, 100)]
    assert centers == [(50, 50), (10, 10), (10, 60), (80, 20)]


# --- CenterFace's maps, made by hand ---


def maps(rows: int, cols: int) -> tuple[Map, Map, Map, Map]:
    """Nothing found: heat, log size, offset, landmarks."""
    return tuple(np.zeros((n, rows, cols) if n > 1 else (rows, cols), np.float32) for n in (1, 2, 2, 10))  # type: ignore[return-value]


def test_an_empty_heat_map_gives_no_face() -> None:
    boxes, scores, points = decode_centerface(*maps(8, 8), 0.5)
    assert (boxes.shape, scores.shape, points.shape) == ((0, 4), (0,), (0, 5, 2))


def test_a_hot_cell_is_a_face_around_it() -> None:
    heat, log_size, offset, marks = maps(8, 10)
    heat[3, 6] = 0.8
    log_size[:, 3, 6] = np.log([10, 5])  # cells high, cells wide
    boxes, scores, _ = decode_centerface(heat, log_size, offset, marks, 0.5)
    assert scores.tolist() == pytest.approx([0.8])
    assert boxes[0].tolist() == pytest.approx([6.5 * 4 - 10, 3.5 * 4 - 20, 20, 40])


def test_the_offset_moves_a_face_within_its_cell() -> None:
    heat, log_size, offset, marks = maps(8, 8)
    heat[2, 2] = 0.9
    unmoved = decode_centerface(heat, log_size, offset, marks, 0.5)[0]
    offset[:, 2, 2] = (0.25, -0.5)  # down, across
    moved = decode_centerface(heat, log_size, offset, marks, 0.5)[0]
    assert (moved - unmoved)[0].tolist() == pytest.approx([-2, 1, 0, 0])


def test_landmarks_are_shares_of_the_box() -> None:
    heat, log_size, offset, marks = maps(8, 8)
    heat[4, 4] = 0.9
    log_size[:, 4, 4] = np.log([8, 4])
    marks[:, 4, 4] = [0.25, 0.25, 0.25, 0.75, 0.5, 0.5, 0.75, 0.25, 0.75, 0.75]  # y, x five times
    boxes, _, points = decode_centerface(heat, log_size, offset, marks, 0.5)
    x, y = boxes[0][:2]
    assert points[0].tolist() == [[x + 4, y + 8], [x + 12, y + 8], [x + 8, y + 16], [x + 4, y + 24], [x + 12, y + 24]]


def test_a_cell_at_the_threshold_is_not_hot() -> None:
    heat, log_size, offset, marks = maps(4, 4)
    heat[1, 1], heat[2, 2] = 0.5, 0.51
    assert len(decode_centerface(heat, log_size, offset, marks, 0.5)[0]) == 1


# --- the networks themselves ---


def portrait(name: str, long_side_px: int = 640) -> ImageU8:
    picture = read_image(DATA / name)
    scale = long_side_px / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def as_rows(faces: list[Face]) -> list[list[float]]:
    return [[*f.box, f.score, *np.ravel(f.landmarks)] for f in faces]


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_face_of_a_portrait_is_found_once_and_surely(detector: Detector, name: str) -> None:
    found = detector.find(portrait(name))
    assert len(found) == 1
    assert found[0].score >= detector.sure_score


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_face_that_fills_the_frame_is_found(detector: Detector, name: str) -> None:
    picture = portrait(name)
    x, y, width, height = (round(v) for v in detector.find(picture)[0].box)
    close = picture[max(0, y) : y + height, max(0, x) : x + width]
    assert len(detector.find(np.ascontiguousarray(close))) == 1


def test_both_faces_of_two_people_are_found_from_large_to_small(detector: Detector) -> None:
    found = detector.find(portrait("two_people.jpg"))
    assert len(found) == 2
    assert found[0].box.width * found[0].box.height >= found[1].box.width * found[1].box.height


def test_the_eyes_nose_and_mouth_lie_in_the_face_in_their_order(detector: Detector) -> None:
    found = detector.find(portrait("portrait_bare.jpg"))[0]
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks
    assert found.box.x < right_eye[0] < left_eye[0] < found.box.x + found.box.width
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1] < found.box.y + found.box.height


@pytest.mark.parametrize("shape", [(480, 640), (50, 50), (1, 1), (3, 900)])
def test_a_flat_picture_of_any_shape_has_no_face(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.find(plain((120, 130, 140), *shape)) == []


def test_the_same_picture_gives_the_same_faces_again(detector: Detector) -> None:
    picture = portrait("portrait_mask.jpg")
    assert detector.find(picture) == detector.find(picture)


def test_pictures_of_other_shapes_before_it_change_nothing(detector: Detector) -> None:
    """OpenCV 4.14 left garbage in CenterFace's layers when the input changed its shape, and found faces in it."""
    picture = portrait("portrait_mask.jpg")
    expected = as_rows(fresh(detector.name).find(picture))
    for shape in ((480, 640), (100, 300), (333, 77)):
        detector.find(np.ascontiguousarray(cv2.resize(picture, shape[::-1]), np.uint8))
    assert np.allclose(as_rows(detector.find(picture)), expected, atol=0.01)


def test_a_higher_threshold_finds_no_more(detector: Detector) -> None:
    kind: Any = KINDS[detector.name]
    strict = kind(locate(detector.name).data, min_score=0.999)
    assert strict.find(portrait("portrait_bare.jpg")) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_detector_needs_no_file_after_its_bytes_were_checked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CenterFace once read its path again at every change of shape, whatever was there by then."""
    fresh(name)  # skips where the file is not here
    item = named(name)
    (tmp_path / item.file).write_bytes(locate(name).data)
    monkeypatch.setattr(third_party, "third_party_dirs", lambda: (tmp_path,))
    found = locate(name)
    found.path.unlink()
    detector = KINDS[name](found.data)
    for shape in ((480, 640), (100, 300)):
        assert detector.find(plain((120, 130, 140), *shape)) == []
    assert len(detector.find(portrait("portrait_mask.jpg"))) == 1
