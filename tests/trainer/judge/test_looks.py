import math

import numpy as np
import pytest

from edge.opencv import cv2
from edge.records import ImageU8
from tests.edge.bundles import plain
from tests.trainer.drawn import MASK_BLUE, person, row
from trainer.faces.manifest import FaceRow
from trainer.judge.looks import SKIN_TONES, colour_name, look

LIGHT_SKIN, TAN_SKIN, DARK_SKIN = (170, 195, 235), (100, 140, 185), (45, 65, 100)


def square(**changes: object) -> FaceRow:
    """A face that fills a picture of 64 pixels."""
    return row(**{"x": 0.0, "y": 0.0, "width": 64.0, "height": 64.0, "landmarks": "", **changes})  # type: ignore[arg-type]


def skin_of(colour_bgr: tuple[int, int, int], flags: str = "") -> str:
    return look(plain(colour_bgr, 64, 64), square(flags=flags)).skin


def darkened(image: ImageU8, factor: float) -> ImageU8:
    return (image * factor).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour_bgr", "name"),
    [
        ((250, 250, 250), "white"),
        ((120, 120, 120), "grey"),
        ((25, 25, 25), "black"),
        (MASK_BLUE, "light_blue"),
        ((90, 40, 20), "dark_blue"),
        ((70, 60, 210), "red_or_pink"),
        ((190, 160, 240), "red_or_pink"),
        ((80, 170, 60), "green"),
        ((60, 220, 240), "yellow"),
        ((60, 90, 140), "brown_or_beige"),
        ((150, 60, 130), "violet"),
    ],
)
def test_mask_is_called_by_its_colour(colour_bgr: tuple[int, int, int], name: str) -> None:
    assert colour_name(np.array(colour_bgr)) == name


def test_mask_colour_is_read_where_the_mask_is() -> None:
    assert look(person("mask"), row("mask")).cloth in ("light_blue", "dark_blue")


def test_bare_face_has_no_mask_colour() -> None:
    assert look(person("no_mask"), row("no_mask")).cloth == ""


def test_skin_tones_come_in_the_order_of_lightness() -> None:
    order = [name for _, name in SKIN_TONES] + ["dark"]
    places = [order.index(skin_of(colour)) for colour in (LIGHT_SKIN, TAN_SKIN, DARK_SKIN)]
    assert places == sorted(set(places))


def test_grey_picture_has_no_skin_tone() -> None:
    grey = cv2.cvtColor(person("no_mask"), cv2.COLOR_BGR2GRAY)
    found = look(cv2.merge([grey, grey, grey]).astype(np.uint8), row())
    assert found.skin == "grey_picture"
    assert math.isnan(found.ita_deg)


def test_blue_light_and_sunglasses_leave_the_skin_unclear() -> None:
    assert skin_of((200, 120, 90)) == "unclear"
    assert skin_of(TAN_SKIN, flags="sunglasses") == "unclear"


def test_light_is_told_by_the_face() -> None:
    face = plain((150, 150, 150), 64, 64)
    assert [look(darkened(face, f), square()).light for f in (1.2, 1.0, 0.6, 0.3)] == [
        "bright",
        "normal",
        "dim",
        "dark",
    ]


def test_blur_is_told_by_the_device_s_own_measure() -> None:
    sharp = person("no_mask")
    smeared = cv2.GaussianBlur(sharp, (0, 0), 12).astype(np.uint8)
    assert [look(image, row()).sharpness for image in (sharp, smeared)] == ["sharp", "blurred"]


def test_face_at_the_border_is_measured_as_far_as_it_is_there() -> None:
    assert look(plain(TAN_SKIN, 40, 40), square(label="mask", x=-30.0, y=-50.0)).light
