"""Hands before a bare face, drawn: forearm, palm and five fingers as shaded round limbs in the face's own skin colour.

What tells a hand from a mask is its skin, the ridges of its fingers and the arm that it hangs on, so these are drawn
and the rest is left to chance: fists, flat hands, a pointing finger, two hands folded, an arm cut by a sleeve.
Photos with a hand at the face are too few to learn this from (40 in all the sets of docs/training.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, ImageU8

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Rng = np.random.Generator

# A right hand seen from its back, in hand lengths: the wrist at (0, 0), the middle finger's tip at (0, -1).
KNUCKLES: Final = np.array([(-0.165, -0.50), (-0.055, -0.54), (0.055, -0.52), (0.155, -0.46)])
FINGERS: Final = np.array([0.38, 0.44, 0.41, 0.31])
THICK: Final = np.array([0.056, 0.058, 0.055, 0.047])
CURLED: Final = 0.15  # what is seen of a finger bent into the palm
FOLDED: Final = 0.5  # of the hands show their bent fingers' outer half, folded back over the palm or hanging down
THUMB: Final = ((-0.15, -0.16), 0.21, 0.17, 0.063)  # root, two lengths, half thickness
FLAT_LIGHT: Final = 0.5  # of the hands are lit as the face is: no shadow, hardly a seam, only the mouth is gone
RIM: Final = 0.4  # of the hands have a bright edge towards the lamp, as a mask's upper edge has


@dataclass(frozen=True, slots=True)
class Limb:
    """A round stick from ``start`` to ``end`` in pixels, ``thick`` and ``thin`` being its radii there; BGR 0-255."""

    start: Points
    end: Points
    thick: float
    thin: float
    colour: Floats


@dataclass(frozen=True, slots=True)
class Canvas:
    """layer: (height, width, 3) what is drawn, BGR 0-255. cover: (height, width) where, 0-1. light: towards it.

    shade: how much darker than its colour a limb gets at its edges, 0-1. shadow: how dark the hand's shadow is, 0-1.
    rim: how much brighter its edge towards the light is, 0-1.
    """

    layer: Floats
    cover: Floats
    light: Points
    shade: float
    shadow: float
    rim: float


def paint(canvas: Canvas, limb: Limb) -> None:
    """Draw one limb over what is there: lit as a cylinder, so that neighbours are parted by a dark seam."""
    reach = max(limb.thick, limb.thin) + 1
    corners = np.stack([limb.start, limb.end])
    low = np.maximum(np.floor(corners.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + reach) + 1, canvas.cover.shape[::-1]).astype(int)
    if (high <= low).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[window].astype(np.float32)
    along = limb.end - limb.start
    t = np.clip(((x - limb.start[0]) * along[0] + (y - limb.start[1]) * along[1]) / max(along @ along, 1e-6), 0, 1)
    off_x, off_y = x - limb.start[0] - t * along[0], y - limb.start[1] - t * along[1]
    radius = limb.thick + (limb.thin - limb.thick) * t
    out_x, out_y = off_x / radius, off_y / radius
    out = np.hypot(out_x, out_y)
    alpha = np.clip((1 - out) * radius + 0.5, 0, 1)[:, :, None]
    facing = np.sqrt(np.clip(1 - out**2, 0, 1))
    brightness = out_x * canvas.light[0] + out_y * canvas.light[1] + facing * canvas.light[2]
    towards = np.clip(out_x * canvas.light[0] + out_y * canvas.light[1], 0, None) / math.hypot(*canvas.light[:2])
    lit = 1 - canvas.shade + canvas.shade * brightness + canvas.rim * towards**3
    canvas.layer[window] += alpha * (limb.colour * lit[:, :, None] - canvas.layer[window])
    canvas.cover[window] = np.maximum(canvas.cover[window], alpha[:, :, 0])


def hand_before(image: ImageU8, box: Box, skin: Floats, rng: Rng) -> tuple[Floats, Floats]:
    """One or two hands at the lower face of (height, width, 3) uint8 BGR. skin: BGR 0-255.

    Returns what is drawn, (height, width, 3) 0-255, and where it counts, (height, width) 0-1, its shadow included.
    """
    angle = rng.uniform(0, math.pi)  # lamps hang above
    light = np.array([math.cos(angle) * 0.6, -math.sin(angle) * 0.6, 0.8])
    flat = rng.random() < FLAT_LIGHT
    shade, shadow = (rng.uniform(0.02, 0.14), rng.uniform(0, 0.1)) if flat else (rng.uniform(0.1, 0.4), 0.45)
    rim = rng.uniform(0.1, 0.4) if rng.random() < RIM else 0.0
    canvas = Canvas(image.astype(np.float32), np.zeros(image.shape[:2], np.float32), light, shade, shadow, rim)
    # Nearer to the lamp than the face, a hand is often paler, like a mask.
    pale, tint = (rng.normal(0.03, 0.06), 0.02) if flat else (rng.normal(0.06, 0.2), 0.05)
    colour = skin * np.exp(pale) * np.exp(rng.normal(0, tint, 3))
    both = rng.random() < 0.2
    at = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.62, 1.0)])
    turn = rng.uniform(-2.2, 2.2)
    size = max(box.width, box.height) * rng.uniform(0.62, 1.1)
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    for side in (1.0, -1.0) if both else (1.0,):
        place = np.array([0.5 + (at[0] - 0.5) * side, at[1]])
        middle = np.array([box.x, box.y]) + place * (box.width, box.height)
        for limb in limbs(middle, turn * side, size, mirror=mirror * side, colour=colour.astype(np.float32), rng=rng):
            paint(canvas, limb)
    _grain(canvas, rng)
    return _with_shadow(canvas, image, size, light)


def limbs(middle: Points, turn: float, size: float, *, mirror: float, colour: Floats, rng: Rng) -> list[Limb]:
    """A hand's limbs from back to front. middle: of the palm, px. turn: radians from upright. size: hand length, px."""
    foreshortened = rng.uniform(0.55, 1.0)
    frame = size * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    frame = frame @ np.diag([mirror, foreshortened])

    def to_picture(point: npt.ArrayLike) -> Points:
        x, y = np.asarray(point, np.float64)
        placed: Points = middle + frame @ (x, y + 0.4)
        return placed

    def limb(start: npt.ArrayLike, end: npt.ArrayLike, thick: float, thin: float, tint: float = 1.0) -> Limb:
        return Limb(to_picture(start), to_picture(end), thick * size, thin * size, colour * np.float32(tint))

    drawn = [limb((0, -0.02), (rng.normal(0, 0.2), 1.6), 0.15, 0.21, rng.uniform(0.85, 1.05))]
    if rng.random() < 0.4:
        drawn.append(_sleeve(to_picture, size, rng))
    thumb = _thumb(limb, rng)
    fingers = _fingers(limb, rng)
    palm = [limb((0.55 * x, 0.0), (x, y), 0.1, THICK[i] * 1.3) for i, (x, y) in enumerate(KNUCKLES)]
    thumb_before = rng.random() < 0.5
    return [*drawn, *([] if thumb_before else thumb), *palm, *fingers, *(thumb if thumb_before else [])]


def _sleeve(to_picture: Callable[[npt.ArrayLike], Points], size: float, rng: Rng) -> Limb:
    cuff = rng.uniform(0.1, 0.7)
    cloth = rng.uniform(10, 235, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(10, 235))
    ends = to_picture((0, cuff)), to_picture((0, 1.9))
    return Limb(*ends, 0.22 * size, 0.26 * size, cloth.astype(np.float32))


def _fingers(limb: Callable[..., Limb], rng: Rng) -> list[Limb]:
    """Stretched, bent or in between; all alike, or one (a pointing finger) unlike the others."""
    bent = np.full(4, rng.choice((0.0, 1.0, rng.random()), p=(0.25, 0.55, 0.2))) + rng.normal(0, 0.08, 4)
    if rng.random() < 0.4:
        bent[int(rng.integers(2))] = 1 - bent[2]
    spread = rng.uniform(-0.05, 0.3)
    # Where a bent finger's outer half points to: back over the palm, or across it, as the wrist is turned.
    fold = math.pi + rng.normal(0, 0.25) if rng.random() < 0.5 else rng.choice((-1, 1)) * rng.uniform(1.2, 2.4)
    folded = rng.random() < FOLDED
    drawn = []
    for i in rng.permutation(4) if rng.random() < 0.3 else range(4):
        seen = FINGERS[i] + (CURLED - FINGERS[i]) * float(np.clip(bent[i], 0, 1))
        lean = (i - 1.5) * spread + rng.normal(0, 0.05)
        tip = KNUCKLES[i] + seen * _pointing(lean)
        shade = rng.uniform(0.9, 1.08)
        drawn.append(limb(KNUCKLES[i], tip, THICK[i] * 1.08, THICK[i] * 0.82, shade))
        if folded and bent[i] > 0.5:
            lean += fold + rng.normal(0, 0.12)
            tip, joint = tip + 0.7 * (FINGERS[i] - CURLED) * rng.uniform(0.7, 1.2) * _pointing(lean), tip
            drawn.append(limb(joint, tip, THICK[i], THICK[i] * 0.8, shade * rng.uniform(0.9, 1.08)))
        if rng.random() < 0.35:
            nail = tip + 0.02 * _pointing(lean)
            drawn.append(limb(tip, nail, THICK[i] * 0.45, THICK[i] * 0.4, rng.choice((0.25, 1.2))))
    return drawn


def _pointing(lean: float) -> Points:
    """A unit step along a finger that leans so many radians from the hand's own axis."""
    return np.array([math.sin(lean), -math.cos(lean)])


def _thumb(limb: Callable[..., Limb], rng: Rng) -> list[Limb]:
    root, first, second, thick = THUMB
    lean = rng.uniform(-1.3, 0.5)
    joint = np.array(root) + first * _pointing(lean)
    lean += rng.uniform(-0.3, 0.9)
    tip = joint + second * _pointing(lean)
    return [
        limb(root, joint, thick * 1.3, thick),
        limb(joint, tip, thick, thick * 0.8),
    ]


def _grain(canvas: Canvas, rng: Rng) -> None:
    """Skin is not one colour: soft blotches."""
    height, width = canvas.cover.shape
    coarse = rng.normal(1, 0.06, (max(2, height // 12), max(2, width // 12))).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas.layer[...] *= blotches[:, :, None]


def _with_shadow(canvas: Canvas, image: ImageU8, size: float, light: Points) -> tuple[Floats, Floats]:
    height, width = canvas.cover.shape
    away = (-light[:2] * 0.08 * size).tolist()
    moved = cv2.warpAffine(canvas.cover, np.array([[1, 0, away[0]], [0, 1, away[1]]]), (width, height))
    shadow = cv2.GaussianBlur(moved, (0, 0), max(0.8, 0.04 * size))
    cover = canvas.cover[:, :, None]
    layer = canvas.layer * cover + image * (1 - canvas.shadow * shadow[:, :, None]) * (1 - cover)
    counts = np.maximum(canvas.cover, np.clip(shadow * 4, 0, 1))
    return layer.astype(np.float32), counts.astype(np.float32)
