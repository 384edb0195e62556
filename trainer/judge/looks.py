"""What a face looks like, in numbers and words that slices are cut by: sharpness, light, skin tone, colour of the mask.

All of it is read from the pixels, none was labelled: these are stated proxies, good for finding where a model fails and
for nothing said about a person. Light and white balance move every one of them, the skin tone most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.quality import GOOD_SHARPNESS, MIN_SHARPNESS, sharpness
from edge.records import NO_MASK, Box, Face, ImageU8
from trainer.faces.crops import read_context
from trainer.faces.manifest import FaceRow
from trainer.learn.occluders import skin_bgr

# Individual Typology Angle, classes of Chardon et al., "Skin colour typology and suntanning pathways", 1991.
SKIN_TONES: Final = ((55, "very_light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"))
DARKEST: Final = "dark"
GREY, UNCLEAR = "grey_picture", "unclear"
SKIN_HIDDEN: Final = frozenset(("sunglasses", "helmet", "helmet_or_goggles", "face_paint", "paint", "costume_mask"))

SHARPNESS: Final = (
    (MIN_SHARPNESS, "blurred"),
    (GOOD_SHARPNESS, "soft"),
    (math.inf, "sharp"),
)  # the device's own limits
LIGHT: Final = ((70.0, "dark"), (110.0, "dim"), (170.0, "normal"), (math.inf, "bright"))  # mean luma of the face, 0-255
FEWEST_WARM: Final = 0.25  # share of the patch's lighter half that must have the hue of skin
GREY_CHROMA: Final = 4.0  # mean distance from grey in CIELAB below which a picture has no colour to judge by
COLOURLESS: Final = 11.0  # of a mask: below, it is white, grey or black

LIGHT_BLUE: Final = 45.0  # lightness from which a blue mask is the light one of clinics, in the shade too
TONES: Final = ((30, "black"), (68, "grey"), (math.inf, "white"))  # lightness of a mask without a hue
HUES_DEG: Final = (  # in CIELAB
    *((35, "red_or_pink"), (75, "brown_or_beige"), (105, "yellow"), (195, "green")),
    *((300, "blue"), (345, "violet"), (361, "red_or_pink")),
)


@dataclass(frozen=True, slots=True)
class Look:
    """One face. sharpness, light, skin, cloth: words of the tables above; cloth is "" where no mask is.

    ita_deg: Individual Typology Angle; NaN where the picture is grey or the light is blue.
    """

    sharpness: str
    light: str
    skin: str
    cloth: str
    ita_deg: float


def looks(folder: Path, rows: Sequence[FaceRow], tick: Callable[[int], None] = lambda _: None) -> list[Look]:
    """Measure the faces of a prepared set."""
    found = []
    for row in rows:
        found.append(look(read_context(folder, row), row))
        tick(1)
    return found


def look(image_bgr: ImageU8, row: FaceRow) -> Look:
    """image_bgr: the face's context picture, (height, width, 3) uint8."""
    face = region(image_bgr, row.box)
    luma = float(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).mean())
    ita_deg = typology_angle_deg(skin_lab(image_bgr, row.box)) if is_coloured(face) else math.nan
    hidden = bool(set(row.flags.split()) & SKIN_HIDDEN)
    return Look(
        sharpness=below(sharpness(image_bgr, Face(row.box, 1.0, row.points)), SHARPNESS),
        light=below(luma, LIGHT),
        skin=skin_tone(ita_deg) if is_coloured(face) and not hidden else UNCLEAR if hidden else GREY,
        cloth="" if row.label == NO_MASK else mask_colour(image_bgr, row),
        ita_deg=ita_deg,
    )


def below(value: float, limits: Sequence[tuple[float, str]]) -> str:
    """The word of the first limit that ``value`` is under."""
    return next(word for limit, word in limits if value < limit)


def region(
    image: ImageU8, box: Box, across: tuple[float, float] = (0.0, 1.0), down: tuple[float, float] = (0.0, 1.0)
) -> ImageU8:
    """A part of the box, in shares of its sides, as far as it lies in the picture; never empty."""
    height, width = image.shape[:2]
    x0, x1 = (min(max(round(box.x + share * box.width), 0), width) for share in across)
    y0, y1 = (min(max(round(box.y + share * box.height), 0), height) for share in down)
    patch = image[y0:y1, x0:x1]
    return patch if patch.size else image


def lab(colours_bgr: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """(n, 3) CIELAB, L 0-100, of BGR colours 0-255."""
    scaled = np.asarray(colours_bgr, np.float32).reshape(1, -1, 3) / 255
    converted: npt.NDArray[np.float64] = cv2.cvtColor(scaled, cv2.COLOR_BGR2LAB)[0].astype(np.float64)
    return converted


def skin_lab(image_bgr: ImageU8, box: Box) -> npt.NDArray[np.float64]:
    """Median CIELAB of the skin about the eyes: warm pixels of the lighter half of the patch, so that hair, brows and
    the rims of glasses do not count; NaN where hardly any is warm (blue light, a hat)."""
    patch = skin_bgr(image_bgr, box)[0]
    pixels = lab(patch)
    pixels = pixels[pixels[:, 0] >= np.median(pixels[:, 0])]
    warm = pixels[(pixels[:, 1] > 2) & (pixels[:, 2] > 2)]
    return np.median(warm, axis=0) if len(warm) >= FEWEST_WARM * len(pixels) else np.full(3, np.nan)


def is_coloured(image: ImageU8) -> bool:
    small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    return float(np.hypot(*lab(small).T[1:]).mean()) >= GREY_CHROMA


def typology_angle_deg(colour_lab: npt.NDArray[np.float64]) -> float:
    """arctan((L - 50) / b) in degrees, for b above 0."""
    lightness, _, yellow = colour_lab
    return math.degrees(math.atan((lightness - 50) / yellow))


def skin_tone(ita_deg: float) -> str:
    if math.isnan(ita_deg):
        return UNCLEAR
    return next((name for limit, name in SKIN_TONES if ita_deg > limit), DARKEST)


def mask_colour(image_bgr: ImageU8, row: FaceRow) -> str:
    """Of the median colour about the mouth, where a mask is in every way of wearing it but on the chin."""
    return colour_name(np.median(mouth(image_bgr, row).reshape(-1, 3), axis=0))


def mouth(image_bgr: ImageU8, row: FaceRow) -> ImageU8:
    """The patch from the nose's tip to the chin."""
    return region(image_bgr, row.box, (0.3, 0.7), (0.68, 0.9))


def colour_name(colour_bgr: npt.NDArray[np.number]) -> str:
    lightness, red, yellow = lab(colour_bgr)[0]
    if math.hypot(red, yellow) < COLOURLESS:
        return below(lightness, TONES)
    hue_deg = math.degrees(math.atan2(yellow, red)) % 360
    word = below(hue_deg, HUES_DEG)
    return word if word != "blue" else "light_blue" if lightness >= LIGHT_BLUE else "dark_blue"
