"""Hair and clothes: enough to tell two people apart, nothing of the face."""

from __future__ import annotations

import numpy as np

from edge.appearance import appearance, blend, difference
from edge.records import Box, ImageU8

BOX = Box(80, 60, 60, 80)


def person(hair: int, chest: int, face: int = 150) -> ImageU8:
    """A grey scene with a face at BOX, hair above and clothes below."""
    image = np.full((300, 220, 3), 90, np.uint8)
    image[20:68, 60:160] = hair
    image[68:140, 80:140] = face
    image[145:300, 50:170] = chest
    return image


def test_the_same_clothes_look_the_same_whatever_is_before_the_face() -> None:
    bare, masked = appearance(person(20, 200, face=150), BOX), appearance(person(20, 200, face=250), BOX)
    assert difference(bare, masked) == 0.0


def test_other_clothes_look_different() -> None:
    differs = difference(appearance(person(20, 200), BOX), appearance(person(20, 30), BOX))
    assert differs is not None
    assert differs > 10


def test_what_lies_outside_of_the_frame_says_nothing() -> None:
    low = Box(80, 250, 60, 80)
    assert np.isnan(appearance(person(20, 200), low)[6:]).all()


def test_people_of_whom_too_little_is_seen_cannot_be_compared() -> None:
    unseen = np.full((12, 3), np.nan, np.float32)
    assert difference(unseen, appearance(person(20, 200), BOX)) is None
    assert difference(None, unseen) is None


def test_the_memory_is_whole_where_one_look_was_cut_off() -> None:
    whole = appearance(person(20, 200), BOX)
    cut = whole.copy()
    cut[6:] = np.nan
    for kept, new in ((whole, cut), (cut, whole), (None, whole), (whole, None)):
        blended = blend(kept, new)
        assert blended is not None
        assert np.allclose(blended, whole)
