"""Fewer frames when it is hot."""

from __future__ import annotations

import pytest

from edge.heat import Heat


def shares(*temperatures_c: float | None) -> list[float]:
    heat = Heat(fps=10)
    told = []
    for celsius in temperatures_c:
        heat.feel(celsius)
        told.append(heat.share)
    return told


def test_half_the_frames_from_75_and_a_quarter_from_80_degrees() -> None:
    assert shares(60, 74.9, 75, 79.9, 80, 90) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_temperature_that_swings_around_a_limit_does_not_make_the_rate_swing() -> None:
    assert shares(75, 74, 75, 71, 70.1, 69.9) == [0.5, 0.5, 0.5, 0.5, 0.5, 1]
    assert shares(80, 79, 76, 74.9) == [0.25, 0.25, 0.25, 0.5]


def test_from_very_hot_to_cool_at_once_is_cool() -> None:
    assert shares(85, 40) == [0.25, 1]


def test_a_board_without_a_thermometer_is_never_hot() -> None:
    assert shares(None, None) == [1, 1]
    assert shares(80, None) == [0.25, 1]


def rate(celsius: float, busy_s: float, camera_fps: float = 10) -> float:
    """Frames a second at which a camera is worked off, after a while."""
    heat = Heat(camera_fps)
    heat.feel(celsius)
    since_last_s = 0.0
    for _ in range(200):
        wait_s = max(0.0, 1 / camera_fps - busy_s)  # for the camera
        since_last_s = wait_s + busy_s
        since_last_s += heat.rest_s(busy_s, since_last_s)
    return 1 / since_last_s


@pytest.mark.parametrize("busy_s", [0.01, 0.09, 0.3])
def test_the_rate_is_halved_and_quartered_whether_the_camera_or_the_board_sets_it(busy_s: float) -> None:
    cool = rate(50, busy_s)
    assert rate(75, busy_s) == pytest.approx(cool / 2, rel=0.01)
    assert rate(80, busy_s) == pytest.approx(cool / 4, rel=0.01)


def test_a_rest_has_a_limit_however_slow_the_board() -> None:
    heat = Heat(fps=10)
    heat.feel(85)
    assert max(heat.rest_s(5.0, 5.0) for _ in range(100)) <= 2.0
