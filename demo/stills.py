"""Still pictures of the demo's people: a portrait before the room, at a chosen size and softness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np

from demo import masks
from demo.arrays import F32, f32, u8
from demo.portraits import Portrait, portrait
from demo.scene import background
from edge.records import ImageU8

FITS: Final = {"worn": masks.worn, "below_nose": masks.below_nose, "under_chin": masks.under_chin}


@dataclass(frozen=True, slots=True)
class Still:
    """One picture to make.

    mask: a key of ``masks.CLOTHS``, or "" for a bare face. worn: a key of ``FITS``. face_px: width of the face.
    blur_px: deviation of the softness. tilt: degrees, clockwise. noise: deviation, of 255.
    """

    name: str
    person: str
    mask: str = ""
    worn: str = "worn"
    face_px: float = 130
    blur_px: float = 0.4
    tilt: float = 0.0
    noise: float = 1.5

    @property
    def label(self) -> str:
        """What a model should say: ``mask``, ``no_mask``, or ``incorrect`` for one that leaves nose or mouth bare."""
        return "no_mask" if not self.mask else "mask" if self.worn == "worn" else "incorrect"


@cache
def room() -> F32:
    return background()


def dressed(still: Still) -> Portrait:
    bare = portrait(still.person)
    return masks.put_on(bare, still.mask, FITS[still.worn](bare)) if still.mask else bare


def behind(height: int, width: int) -> F32:
    """A part of the room, out of focus, for a portrait of this size."""
    factor = max(height / 420, width / 400)
    part = room()[30:450, 80:480]
    large = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return f32(cv2.GaussianBlur(large, (0, 0), 4 * factor))


def render(still: Still) -> ImageU8:
    """The whole portrait before the room. Returns (height, width, 3) uint8 BGR."""
    who = dressed(still)
    height, width = who.alpha.shape
    solid = who.alpha[..., None]
    whole = who.bgr * solid + behind(height, width) * (1 - solid)
    turn = cv2.getRotationMatrix2D(who.center, -still.tilt, 1.0)
    turned = cv2.warpAffine(whole, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    factor = still.face_px / who.face_px
    small = cv2.resize(turned, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), still.blur_px)
    grain = f32(np.random.default_rng(len(still.name)).standard_normal(soft.shape)) * still.noise
    return u8(soft + grain)
