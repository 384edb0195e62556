"""The people of the demo: outlines, landmarks and grading of each source picture, measured by hand.

A portrait is brought to a common size (``FACE_PX`` wide between the cheeks), cut out of its background and graded
towards the light of the demo's room. All points below are in pixels of the source picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from demo.fetch_pictures import picture_path
from edge.records import ImageU8

Points = tuple[tuple[float, float], ...]
F32 = npt.NDArray[np.float32]

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
    """What was measured by hand on one picture.

    face: left and right end of the face and its middle's height: x0, x1, y.
    neck_y: where the head turns on the body.
    outline: the silhouette; empty where the person is never cut out. thick_hair: wider band left to grabCut.
    mask_top, mask_bottom: five points each from the picture's left to right: cheek, below eye, middle, below eye, cheek.
    ears: upper and lower end of the left loop, then of the right one; () hides the loops under hair.
    light: from where the light comes: right, down, towards the camera.
    white: what a white mask measures in this light, 0-255.
    extend_px: rows of the picture's foot that are stretched to make more body.
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
    extend_px: int = 0
    grade: Grade = Grade()


PEOPLE: Final[dict[str, Person]] = {
    "collins": Person(
        picture="collins",
        face=(182, 272, 118),
        neck_y=178,
        outline=(
            *((15, 512), (22, 440), (22, 410), (30, 350), (40, 310), (60, 270), (85, 235), (106, 215), (114, 195), (118, 182)),
            *((130, 163), (150, 151), (170, 148), (183, 148), (182, 135), (175, 129), (172, 120), (160, 110), (153, 95)),
            *((152, 75), (158, 58), (172, 46), (188, 38), (195, 28), (212, 18), (235, 14), (255, 19), (275, 31), (290, 48)),
            *((298, 65), (302, 85), (300, 105), (290, 122), (280, 131), (272, 138), (269, 150), (262, 165), (258, 175)),
            *((275, 185), (290, 205), (302, 228), (306, 236), (325, 250), (345, 275), (355, 300), (360, 330), (366, 350)),
            *((400, 343), (440, 350), (470, 378), (490, 415), (500, 455), (506, 512)),
        ),
        mask_top=((184, 121), (203, 114), (226, 106), (249, 115), (270, 124)),
        mask_bottom=((187, 154), (203, 174), (225, 184), (244, 177), (261, 154)),
        ears=((174, 119), (178, 130), (281, 122), (275, 136)),
        light=(-0.15, -0.35, 1.0),
        white=228,
        grade=Grade((0.93, 0.95, 0.97), 1.05, 0.95),
    ),
    "hopper": Person(
        picture="hopper",
        face=(192, 342, 235),
        neck_y=325,
        outline=(
            *((16, 600), (22, 500), (25, 450), (35, 400), (45, 382), (75, 372), (130, 358), (165, 342), (185, 325)),
            *((199, 318), (199, 305), (186, 297), (165, 285), (162, 272), (170, 265), (158, 240), (154, 210), (153, 195)),
            *((157, 182), (150, 172), (150, 130), (157, 105), (170, 92), (178, 85), (180, 70), (195, 55), (215, 45)),
            *((220, 35), (235, 28), (260, 24), (290, 30), (303, 45), (325, 53), (343, 68), (350, 85), (360, 87), (367, 97)),
            *((370, 130), (370, 165), (368, 182), (375, 190), (374, 205), (368, 235), (362, 265), (360, 285), (350, 300)),
            *((335, 306), (330, 312), (340, 325), (360, 340), (400, 358), (450, 375), (480, 388), (495, 405), (505, 450)),
            *((512, 480), (512, 600)),
        ),
        mask_top=((191, 236), (226, 233), (265, 206), (304, 230), (345, 233)),
        mask_bottom=((201, 284), (224, 322), (264, 346), (306, 322), (335, 282)),
        ears=((168, 205), (172, 262), (362, 200), (358, 262)),
        light=(0.1, -0.3, 1.0),
        white=226,
        extend_px=60,
        grade=Grade((0.92, 0.95, 0.93), 1.05, 0.85),
    ),
    "canon_man": Person(
        picture="canon_man",
        face=(655, 1285, 700),
        neck_y=1040,
        outline=(
            *((230, 1360), (330, 1285), (400, 1222), (480, 1182), (600, 1135), (700, 1090), (765, 1030), (745, 1005)),
            *((700, 950), (680, 890), (665, 830), (640, 790), (622, 700), (603, 600), (608, 575), (628, 568), (622, 500)),
            *((625, 420), (640, 330), (690, 230), (770, 150), (860, 108), (960, 86), (1050, 92), (1130, 125), (1220, 205)),
            *((1290, 300), (1330, 420), (1340, 528), (1375, 532), (1392, 565), (1385, 660), (1352, 780), (1310, 830)),
            *((1288, 832), (1270, 900), (1265, 945), (1300, 945), (1380, 1040), (1470, 1090), (1600, 1130), (1740, 1185)),
            *((1870, 1245), (1960, 1305), (2030, 1360)),
        ),
        mask_top=((668, 722), (775, 716), (905, 636), (1035, 698), (1270, 700)),
        mask_bottom=((704, 930), (800, 1060), (960, 1118), (1115, 1062), (1248, 930)),
        ears=((634, 640), (650, 780), (1330, 590), (1312, 800)),
        light=(-0.2, -0.45, 0.9),
        white=205,
        extend_px=130,
        grade=Grade((1.28, 1.18, 1.22), 0.74, 1.05),
    ),
    "photographer": Person(
        picture="photographer",
        face=(209, 348, 220),
        neck_y=310,
        outline=(
            *((125, 800), (132, 740), (140, 680), (130, 662), (70, 672), (40, 668), (18, 650), (16, 620), (28, 600), (26, 575)),
            *((38, 540), (60, 513), (95, 506), (116, 513), (130, 490), (150, 460), (165, 430), (185, 405), (198, 385)),
            *((180, 390), (160, 392), (155, 375), (160, 358), (150, 335), (150, 300), (158, 270), (158, 240), (160, 215)),
            *((162, 190), (175, 172), (183, 150), (190, 120), (205, 100), (225, 80), (250, 64), (285, 57), (320, 64)),
            *((348, 78), (378, 98), (402, 120), (422, 140), (445, 162), (455, 190), (452, 225), (455, 250), (448, 280)),
            *((438, 305), (440, 330), (430, 352), (420, 360), (432, 375), (443, 392), (452, 430), (458, 470), (461, 540)),
            *((461, 600), (456, 672), (433, 692), (388, 682), (393, 740), (394, 800)),
        ),
        hair=(
            *((198, 385), (150, 412), (130, 400), (150, 340), (136, 320), (150, 285), (148, 220), (130, 160), (175, 120)),
            *((195, 90), (240, 52), (290, 40), (345, 58), (420, 110), (470, 160), (500, 230), (490, 275), (450, 300)),
            *((460, 340), (425, 360), (380, 320), (380, 200), (330, 110), (260, 80), (210, 130), (200, 250), (215, 330)),
        ),
        mask_top=((210, 224), (229, 213), (252, 202), (292, 214), (346, 224)),
        mask_bottom=((215, 266), (232, 298), (258, 312), (300, 306), (338, 268)),
        ears=((199, 212), (205, 262), (358, 212), (352, 258)),
        light=(-0.1, -0.3, 1.0),
        white=226,
        grade=Grade((0.90, 0.95, 1.0), 1.0, 0.95),
    ),
    "andersson": Person(picture="andersson", face=(200, 330, 190), neck_y=300),
}


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
        return np.asarray(source, np.float32).reshape(-1, 2) * np.float32(self.scale)

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
    lifted = (bgr.astype(np.float32) / 255) ** grade.gamma * np.asarray(grade.gain, np.float32)
    grey = lifted @ np.asarray((0.114, 0.587, 0.299), np.float32)
    return np.clip(grey[..., None] + (lifted - grey[..., None]) * grade.saturation, 0, 1).astype(np.float32) * 255


def polygon(shape: tuple[int, ...], points: F32, value: int = 255) -> ImageU8:
    """A filled polygon, edges smoothed to a sixteenth of a pixel. Returns (height, width) uint8."""
    canvas = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], (value,), cv2.LINE_AA, 4)
    return canvas


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
    cv2.grabCut(bgr, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    return soften(((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8))


def soften(solid: ImageU8) -> F32:
    """A hard cut to a feathered alpha: crumbs dropped, edge smoothed and drawn in a little to lose the old background."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count > 2:
        solid = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    framed = cv2.copyMakeBorder(solid.astype(np.float32), 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    smooth = cv2.GaussianBlur(framed, (0, 0), FEATHER_PX * 1.4)[8:-8, 8:-8]
    return np.clip((smooth - 0.5) * 1.7 + 0.28, 0, 1).astype(np.float32)


def clean_edge(bgr: F32, alpha: F32) -> F32:
    """Replace the colours of half-transparent pixels by those of the nearest solid ones: no rim of the old background."""
    solid = (alpha > 0.97).astype(np.uint8)
    eroded = cv2.erode(solid, np.ones((3, 3), np.uint8))
    _, labels = cv2.distanceTransformWithLabels(1 - eroded, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(labels.max()) + 1, 3), np.float32)
    table[labels[eroded > 0]] = bgr[eroded > 0]
    nearest = cv2.GaussianBlur(table[labels], (0, 0), 1.0)
    weight = cv2.GaussianBlur(eroded.astype(np.float32), (0, 0), 0.8)[..., None]
    return (bgr * weight + nearest * (1 - weight)).astype(np.float32)


def extend_down(image: F32, rows: int, factor: int = 6) -> F32:
    """Stretch the lowest rows, for pictures that end at the collar."""
    if not rows:
        return image
    foot = image[-rows:]
    stretched = cv2.resize(foot, (image.shape[1], rows * factor), interpolation=cv2.INTER_CUBIC)
    return np.vstack([image[:-rows], stretched]).astype(np.float32)


@cache
def portrait(name: str) -> Portrait:
    """One person, normalised, graded and cut out. Arrays are shared: do not write into them."""
    person = PEOPLE[name]
    source = load_bgr(person.picture)
    scale = FACE_PX / (person.face[1] - person.face[0])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(source.shape[1] * scale), round(source.shape[0] * scale))
    scaled = cv2.resize(source, size, interpolation=method).astype(np.uint8, copy=False)
    outline = np.asarray(person.outline, np.float32).reshape(-1, 2) * np.float32(scale)
    hair = np.asarray(person.hair, np.float32).reshape(-1, 2) * np.float32(scale)
    alpha = cut_out(scaled, outline, hair)
    bgr = apply_grade(scaled, person.grade)
    if person.outline:
        bgr = clean_edge(bgr, alpha)
    rows = round(person.extend_px * scale)
    return Portrait(person, extend_down(bgr, rows), extend_down(alpha, rows), scale)
