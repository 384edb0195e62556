"""The people of the demo, cut out of their pictures.

What was measured by hand on each picture is in ``people.toml``. A portrait is brought to a common size (``FACE_PX``
wide between the cheeks), cut out of its background and graded towards the light of the demo's room.
"""

from __future__ import annotations

import io
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

from demo.arrays import F32, Points, f32, grey, polygon, u8
from demo.fetch_pictures import picture_path
from demo.retouch import blot_out, darken_hair, knit, stretch_foot
from edge.records import ImageU8

LIST: Final = Path(__file__).with_name("people.toml")
FACE_PX: Final = 190.0  # width of a normalised face: twice what the clip shows at most
UNSURE_PX: Final = 9  # half width of the band along an outline where grabCut decides
FEATHER_PX: Final = 1.1


@dataclass(frozen=True, slots=True)
class Grade:
    """Brings a picture's colours to the room's. gain: blue, green, red. gamma below 1 lifts the dark parts."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    saturation: float = 1.0


@dataclass(frozen=True, slots=True)
class Person:
    """What was measured by hand on one picture, and what is to be done to it.

    picture: its name in ``pictures.toml``.
    face: left and right end of the face and its middle's height: x0, x1, y.
    neck_y: where the head turns on the body.
    outline: the silhouette; empty where the person is never cut out.
    hair: where hair is loose: grabCut decides there alone, and leaves or sky seen through it are darkened.
    mask_top, mask_bottom: five points each, left to right in the picture: cheek, below the eye, middle, and so back.
    ears: upper and lower end of the left loop, then of the right one.
    light: from where the light comes: right, down, towards the camera.
    white: what a white mask measures in this light, 0-255.
    foot: rows that are stretched to make more body: from, to, how many times. What lies below is dropped.
    sweater: neckline of a sweater that is painted over the body, left to right; () leaves the clothes as they are.
    blot: around lettering that is painted over in the colour beside it.
    """

    picture: str
    face: tuple[float, float, float]
    neck_y: float
    outline: Points = ()
    hair: Points = ()
    mask_top: Points = ()
    mask_bottom: Points = ()
    ears: Points = ()
    light: tuple[float, float, float] = (0.0, -0.3, 1.0)
    white: float = 225.0
    foot: tuple[int, int, int] | None = None
    sweater: Points = ()
    blot: Points = ()
    grade: Grade = Grade()


def people() -> dict[str, Person]:
    """Everybody of ``people.toml`` by name."""
    return {name: person(row) for name, row in tomllib.loads(LIST.read_text(encoding="utf-8")).items()}


def person(row: dict[str, Any]) -> Person:
    """One table of ``people.toml``: lists become tuples, lists of lists tuples of tuples."""
    grade = row.pop("grade")
    values: dict[str, Any] = {key: frozen(value) for key, value in row.items()}
    return Person(**values, grade=Grade(frozen(grade["gain"]), grade["gamma"], grade["saturation"]))


def frozen(value: Any) -> Any:
    return tuple(frozen(v) for v in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Portrait:
    """A normalised picture of one person.

    bgr: (height, width, 3) float32 0-255, graded. alpha: (height, width) float32 0-1.
    scale: portrait pixels per source pixel.
    """

    person: Person
    bgr: F32
    alpha: F32
    scale: float

    def points(self, source: Points) -> F32:
        """Source points in portrait pixels, (n, 2)."""
        return f32(source).reshape(-1, 2) * np.float32(self.scale)

    @property
    def face_px(self) -> float:
        return (self.person.face[1] - self.person.face[0]) * self.scale

    @property
    def center(self) -> tuple[float, float]:
        """The middle of the face."""
        left, right, y = self.person.face
        return (left + right) / 2 * self.scale, y * self.scale


def load_bgr(name: str) -> ImageU8:
    """A fetched picture as 8 bit sRGB, upright; wide-gamut pictures are converted, not just reinterpreted."""
    with Image.open(picture_path(name)) as picture:
        upright = ImageOps.exif_transpose(picture)
        profile = picture.info.get("icc_profile")
    rgb = upright.convert("RGB")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        rgb = converted if converted is not None else rgb
    return np.ascontiguousarray(np.asarray(rgb)[..., ::-1])


def apply_grade(bgr: ImageU8, grade: Grade) -> F32:
    lifted = (f32(bgr) / 255) ** grade.gamma * f32(grade.gain)
    plain = grey(f32(lifted))[..., None]
    return f32(np.clip(plain + (lifted - plain) * grade.saturation, 0, 1) * 255)


def cut_out(bgr: ImageU8, outline: F32, hair: F32) -> F32:
    """Alpha of one person: the hand-drawn outline, refined by grabCut in a narrow band (a wide one at loose hair)."""
    if not len(outline):
        return np.ones(bgr.shape[:2], np.float32)
    framed = cv2.copyMakeBorder(polygon(bgr.shape, outline), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform((framed > 127).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    outside = cv2.distanceTransform((framed <= 127).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    marks = np.where(inside > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[inside > UNSURE_PX] = cv2.GC_FGD
    marks[outside > UNSURE_PX * 0.6] = cv2.GC_BGD
    if len(hair):
        loose = polygon(bgr.shape, hair) > 127
        marks[loose] = np.where(inside > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)[loose]
    cv2.setRNGSeed(7)
    cv2.grabCut(bgr, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    return soften(((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8))


def soften(solid: ImageU8) -> F32:
    """A hard cut to a feathered alpha: crumbs dropped, edge smoothed and drawn in a little."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count > 2:
        solid = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    framed = cv2.copyMakeBorder(f32(solid), 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    smooth = cv2.GaussianBlur(framed, (0, 0), FEATHER_PX * 1.4)[8:-8, 8:-8]
    return f32(np.clip((smooth - 0.5) * 1.7 + 0.28, 0, 1))


def clean_edge(bgr: F32, alpha: F32) -> F32:
    """Give half-transparent pixels the colour of the nearest solid one: no rim of the old background."""
    solid = (alpha > 0.97).astype(np.uint8)
    eroded = cv2.erode(solid, np.ones((3, 3), np.uint8))
    _, labels = cv2.distanceTransformWithLabels(1 - eroded, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(labels.max()) + 1, 3), np.float32)
    table[labels[eroded > 0]] = bgr[eroded > 0]
    nearest = cv2.GaussianBlur(table[labels], (0, 0), 1.0)
    weight = cv2.GaussianBlur(f32(eroded), (0, 0), 0.8)[..., None]
    return f32(bgr * weight + nearest * (1 - weight))


@cache
def portrait(name: str) -> Portrait:
    """One person, normalised, graded and cut out. Arrays are shared: do not write into them."""
    who = people()[name]
    source = load_bgr(who.picture)
    scale = FACE_PX / (who.face[1] - who.face[0])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(source.shape[1] * scale), round(source.shape[0] * scale))
    scaled = u8(cv2.resize(source, size, interpolation=method))
    outline, hair, blot, sweater = (
        f32(p).reshape(-1, 2) * np.float32(scale) for p in (who.outline, who.hair, who.blot, who.sweater)
    )
    alpha = cut_out(scaled, outline, hair)
    bgr = apply_grade(scaled, who.grade)
    if len(blot):
        bgr = blot_out(bgr, blot)
    if len(hair):
        bgr = darken_hair(bgr, hair)
    if len(outline):
        bgr = clean_edge(bgr, alpha)
    bgr, alpha = stretch_foot(bgr, who.foot, scale), stretch_foot(alpha, who.foot, scale)
    if len(sweater):
        bgr = knit(bgr, alpha, sweater, FACE_PX)
    return Portrait(who, bgr, alpha, scale)
