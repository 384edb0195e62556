"""Is there anything to see? Pictures of the demo's door, and what may come between them and us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pytest

from edge.picture import AFTER_S, PictureState, PictureWatch, impression
from edge.places import PACKAGE
from edge.records import Frame, ImageU8

FPS = 2.0
Change = Callable[[ImageU8], ImageU8]


@pytest.fixture(scope="module")
def door() -> list[ImageU8]:
    """Every tenth frame of the demo's clip, 427 x 240: a wall, and people who come and go."""
    capture = cv2.VideoCapture(str(PACKAGE.parent / "demo" / "door.mp4"))
    pictures: list[ImageU8] = []
    while capture.grab():
        if len(pictures) < 30 and capture.get(cv2.CAP_PROP_POS_FRAMES) % 10 == 0:
            picture = cv2.resize(capture.retrieve()[1], (427, 240), interpolation=cv2.INTER_AREA)
            pictures.append(picture.astype(np.uint8))
    capture.release()
    return pictures


def scene(pictures: list[ImageU8], seconds: float, change: Change = lambda picture: picture) -> Iterator[ImageU8]:
    """A camera's frames: never the same twice, for every sensor has noise."""
    noise = np.random.default_rng(7).integers(0, 3, (7, *pictures[0].shape), dtype=np.uint8)
    for index in range(round(seconds * FPS)):
        yield change(cv2.add(pictures[index % len(pictures)], noise[index % 7]).astype(np.uint8))


def states(*parts: Iterable[ImageU8]) -> list[PictureState]:
    """The state after every frame of the last part."""
    watch, index = PictureWatch(), 0
    told: list[PictureState] = []
    for part in parts:
        told = []
        for picture in part:
            told.append(watch.look(Frame(picture, index, index / FPS, 0.0)))
            index += 1
    return told


def after_s(told: list[PictureState], state: PictureState) -> float:
    """How long it took until the state was told, seconds."""
    return told.index(state) / FPS


def blurred(sigma_px: float) -> Change:
    return lambda picture: cv2.GaussianBlur(picture, (0, 0), sigma_px).astype(np.uint8)


def dark(picture: ImageU8) -> ImageU8:
    return (picture * 0.05).astype(np.uint8)


def covered(picture: ImageU8) -> ImageU8:
    """Tape over the lens: some light comes through, the noise of the sensor stays."""
    rng = np.random.default_rng(int(picture[0, 0, 0]))
    light = cv2.resize(cv2.resize(picture, (3, 2), interpolation=cv2.INTER_AREA), picture.shape[1::-1]) * 0.5
    return np.clip(light + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def test_an_ordinary_day_at_the_door_is_ok(door: list[ImageU8]) -> None:
    assert set(states(scene(door, 120))) == {"ok"}


def test_a_frozen_picture_is_told_after_ten_seconds(door: list[ImageU8]) -> None:
    told = states(scene(door, 10), [door[5]] * 40)
    assert 9 <= after_s(told, "frozen") <= 11


def test_a_black_picture_is_told_after_five_seconds(door: list[ImageU8]) -> None:
    assert 4.5 <= after_s(states(scene(door, 10), scene(door, 10, dark)), "black") <= 6


def test_pure_black_that_never_changes_is_black_and_not_frozen(door: list[ImageU8]) -> None:
    told = states(scene(door, 10), [np.zeros_like(door[0])] * 40)
    assert told[-1] == "black"
    assert "frozen" not in told


def test_a_covered_lens_is_told_after_five_seconds(door: list[ImageU8]) -> None:
    assert 4.5 <= after_s(states(scene(door, 10), scene(door, 10, covered)), "blocked") <= 6


def test_a_picture_out_of_focus_is_told_against_its_own_past(door: list[ImageU8]) -> None:
    told = states(scene(door, 70), scene(door, 15, blurred(2.5)))
    assert 9.5 <= after_s(told, "blurred") <= 11


def test_a_camera_that_never_was_sharper_is_not_called_out_of_focus(door: list[ImageU8]) -> None:
    assert set(states(scene(door, 100, blurred(2.5)))) == {"ok"}


@pytest.mark.parametrize("change", [dark, covered, blurred(2.5)])
def test_what_passes_by_in_three_seconds_is_not_told(door: list[ImageU8], change: Change) -> None:
    assert set(states(scene(door, 70), scene(door, 3, change))) == {"ok"}


@pytest.mark.parametrize("change", [dark, covered, lambda _: np.full((240, 427, 3), 99, np.uint8)])
def test_a_fault_that_is_over_is_cleared_within_seconds(door: list[ImageU8], change: Change) -> None:
    told = states(scene(door, 10), scene(door, 15, change), scene(door, 5))
    assert told[0] != "ok"
    assert 1.5 <= after_s(told, "ok") <= AFTER_S["ok"] + 1


def test_a_fault_is_not_learnt_as_the_usual_picture(door: list[ImageU8]) -> None:
    assert states(scene(door, 70), scene(door, 250, blurred(2.5)))[-1] == "blurred"


def test_a_camera_that_was_opened_again_starts_without_a_fault(door: list[ImageU8]) -> None:
    watch = PictureWatch()
    for index in range(30):
        watch.look(Frame(np.zeros_like(door[0]), index, index / FPS, 0.0))
    assert watch.state == "black"
    watch.begin(30 / FPS)
    assert watch.look(Frame(door[0], 30, 30 / FPS, 0.0)) == "ok"


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 4, 3), (1, 2000, 3), (2000, 1, 3), (90, 160, 3)])
def test_a_frame_of_any_shape_is_looked_at(shape: tuple[int, int, int]) -> None:
    assert impression(np.zeros(shape, np.uint8)).brightest == 0


def test_it_costs_well_under_a_millisecond_a_frame(door: list[ImageU8]) -> None:
    """At 15 frames a second of 1280 x 720: the median of five seconds, so that a busy machine does not decide."""
    pictures = [np.ascontiguousarray(cv2.resize(p, (1280, 720)).astype(np.uint8)) for p in door[:15]]
    watch, costs_s = PictureWatch(), []
    for second in range(5):
        began_s = time.perf_counter()
        for index, picture in enumerate(pictures):
            watch.look(Frame(picture, index, second + index / 15, 0.0))
        costs_s.append((time.perf_counter() - began_s) / len(pictures))
    assert sorted(costs_s)[2] < 0.001
