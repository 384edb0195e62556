"""Masks drawn onto portraits: a ruled surface between two curves on the face, shaded as cloth in the portrait's light.

u runs -1..1 over the mask from the picture's left to right, v 0..1 from nose bridge to chin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from demo.arrays import F32, f32, grey, polygon
from demo.portraits import Portrait

GRID_U: Final = 640  # samples over the surface: several per pixel, so that none stays empty
GRID_V: Final = 420
SHADOW: Final = 0.42  # how much of the light a mask's edge takes from the skin beside it


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a mask lies on a portrait, in portrait pixels.

    top, bottom: (5, 2), left to right. ears: (4, 2) upper and lower end of the left loop, then of the right; or (0, 2).
    loops: 0-1, how far the loops can be seen.
    """

    top: F32
    bottom: F32
    ears: F32
    loops: float = 1.0


@dataclass(frozen=True, slots=True)
class Surface:
    """The mask's region rasterised. u, v, alpha: (height, width) float32 of the whole portrait."""

    u: F32
    v: F32
    alpha: F32


@dataclass(frozen=True, slots=True)
class Cloth:
    """colour: blue, green, red share of white. paint: from u, v and the colour to the unlit cloth."""

    colour: tuple[float, float, float]
    paint: Callable[[F32, F32, F32], F32]
    ridge: float  # height of the fold along the middle, shares of the mask's width
    loop_colour: tuple[float, float, float] = (0.96, 0.96, 0.96)
    sag: float = 0.05  # how far its rows hang through in the middle
    ambient: float = 0.45


def worn(portrait: Portrait) -> Fit:
    """As it should be: over the nose bridge and under the chin."""
    person = portrait.person
    return Fit(portrait.points(person.mask_top), portrait.points(person.mask_bottom), portrait.points(person.ears))


def below_nose(portrait: Portrait, share: float = 0.47) -> Fit:
    """Badly worn: the upper edge hangs between nose and mouth. share: of the way from bridge to chin."""
    fit = worn(portrait)
    drop = f32((0.30, 0.85, 1.0, 0.85, 0.30))[:, None] * share
    return replace(fit, top=fit.top + (fit.bottom - fit.top) * drop, bottom=fit.bottom + (fit.bottom - fit.top) * 0.03)


def under_chin(portrait: Portrait) -> Fit:
    """Badly worn: pulled down to the chin, nose and mouth bare."""
    fit = worn(portrait)
    drop = f32((0.55, 0.86, 0.80, 0.86, 0.55))[:, None]
    return replace(fit, top=fit.top + (fit.bottom - fit.top) * drop, bottom=fit.bottom + (fit.bottom - fit.top) * 0.10)


def held(portrait: Portrait, near: float) -> Fit:
    """On its way to the face. near: 0 before the chest, out of the picture's way, 1 worn."""
    fit = worn(portrait)
    drop = f32((0, portrait.face_px * 3.1)) * np.float32((1 - near) ** 1.2)
    middle = (fit.top.mean(axis=0) + fit.bottom.mean(axis=0)) / 2
    size = f32((0.86 + 0.14 * near, 0.62 + 0.38 * near))
    return replace(
        fit,
        top=(fit.top - middle) * size + middle + drop,
        bottom=(fit.bottom - middle) * size + middle + drop,
        loops=max(0.0, (near - 0.85) / 0.15),
    )


def curve(points: F32, count: int) -> F32:
    """A Catmull-Rom curve through a handful of points, (count, 2)."""
    padded = np.vstack([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, len(points) - 1, count)
    i = np.minimum(t.astype(int), len(points) - 2)
    f = (t - i)[:, None]
    a, b, c, d = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    return f32(0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3))


def surface(fit: Fit, shape: tuple[int, int], sag: float) -> Surface:
    top, bottom = curve(fit.top, GRID_U), curve(fit.bottom, GRID_U)
    v = f32(np.linspace(0, 1, GRID_V))[:, None]
    u = f32(np.linspace(-1, 1, GRID_U))[None]
    at = top[None] * (1 - v[..., None]) + bottom[None] * v[..., None]
    height = float(np.linalg.norm(fit.bottom[2] - fit.top[2]))
    at[..., 1] += sag * height * np.sin(np.pi * v) * (1 - u**2)
    at[..., 0] -= 0.025 * height * np.sin(np.pi * v) * u**5  # ear loops gather the sides
    rim = np.concatenate([at[0], at[:, -1], at[-1, ::-1], at[::-1, 0]])
    alpha = f32(cv2.GaussianBlur(f32(polygon(shape, rim)) / 255, (0, 0), 0.6))
    return Surface(splat(at, u + 0 * v, shape), splat(at, v + 0 * u, shape), alpha)


def splat(at: F32, values: F32, shape: tuple[int, int]) -> F32:
    """Values of a dense grid laid onto pixels and averaged; spread a little beyond the rim."""
    x = np.clip(np.round(at[..., 0]).astype(int), 0, shape[1] - 1)
    y = np.clip(np.round(at[..., 1]).astype(int), 0, shape[0] - 1)
    where = (y * shape[1] + x).ravel()
    total = np.bincount(where, values.ravel(), shape[0] * shape[1]).reshape(shape)
    count = np.bincount(where, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    near_total, near_count = cv2.GaussianBlur(total, (0, 0), 1.5), cv2.GaussianBlur(count, (0, 0), 1.5)
    spread = near_total / np.maximum(near_count, 1e-6)
    return f32(np.where(count > 0, total / np.maximum(count, 1), spread))


def line(x: F32, at: float, width: float) -> F32:
    """A soft line: 1 at ``at``, falling off within ``width``."""
    return f32(np.exp(-(((x - at) / width) ** 2)))


def noise(u: F32, v: F32, across: float, along: float, seed: int) -> F32:
    """Smooth noise of about -1..1 on the surface. across, along: waves over its width and height."""
    random = np.random.default_rng(seed)
    total = np.zeros_like(u)
    for _ in range(6):
        fu, fv = random.normal(0, across), random.normal(0, along)
        total += f32(np.sin(2 * np.pi * (fu * u / 2 + fv * v + random.random())))
    return total / np.float32(3)


def paint_surgical(u: F32, v: F32, colour: F32) -> F32:
    """Three pleats, a wire over the nose, welded borders."""
    tone = np.ones_like(u) + 0.025 * noise(u, v, 2.0, 3.0, 3) + 0.012 * noise(u, v, 60.0, 60.0, 4)
    spread = 1 - 0.55 * u**2  # pleats open in the middle
    for at in (0.30, 0.50, 0.70):
        bent = v - 0.035 * (1 - u**2) * (at - 0.4)
        tone += spread * (0.10 * line(bent, at - 0.022, 0.016) - 0.24 * line(bent, at + 0.012, 0.015))
        tone -= spread * 0.09 * line(bent, at + 0.06, 0.05)
    tone += 0.07 * line(v, 0.045, 0.012) - 0.10 * line(v, 0.085, 0.010) - 0.06 * line(v, 0.955, 0.008)
    gathered = np.abs(u) ** 10
    tone += 0.10 * gathered * noise(u, v, 0.5, 7.0, 5)
    rim = np.maximum(np.maximum(line(v, 0.0, 0.035), line(v, 1.0, 0.03)), line(np.abs(u), 1.0, 0.035))
    whiter = colour + (np.float32(0.97) - colour) * (0.55 * rim)[..., None]
    return f32(whiter * tone[..., None])


def paint_ffp2(u: F32, v: F32, colour: F32) -> F32:
    """A fold down the middle, welded seams along the edges."""
    tone = np.ones_like(u) + 0.02 * noise(u, v, 1.5, 1.5, 13) + 0.012 * noise(u, v, 50.0, 50.0, 14)
    tone += 0.05 * line(u, -0.012, 0.014) - 0.16 * line(u, 0.012, 0.010)
    dots = 0.5 + 0.5 * np.sign(np.sin(u * 150))
    for at in (0.075, 0.935):
        tone -= 0.13 * line(v, at, 0.010) * dots
    tone -= 0.10 * line(np.abs(u), 0.90, 0.010) * (0.5 + 0.5 * np.sign(np.sin(v * 110)))
    tone -= 0.05 * line(f32(v + 0.30 * (1 - np.abs(u))), 0.5, 0.012)
    return f32(colour * tone[..., None])


def paint_cloth(u: F32, v: F32, colour: F32) -> F32:
    """A sewn mask: a seam down the middle, stitched edges, soft creases."""
    tone = np.ones_like(u) + 0.10 * noise(u, v, 2.0, 1.5, 23) + 0.05 * noise(u, v, 70.0, 60.0, 24)
    tone += 0.30 * line(u, -0.016, 0.016) - 0.35 * line(u, 0.010, 0.012)
    stitches = 0.5 + 0.5 * np.sin(u * 190)
    for at in (0.055, 0.945):
        tone += 0.25 * line(v, at, 0.010) * stitches - 0.18 * line(v, at + 0.02, 0.012)
    tone += 0.22 * line(np.abs(u), 0.93, 0.012)
    return f32(colour * np.clip(tone, 0.3, 2)[..., None])


def paint_dots(u: F32, v: F32, colour: F32) -> F32:
    """White dots in staggered rows on a sewn mask with two pleats."""
    plain = paint_cloth(u, v, colour)
    row = np.floor(v * 9)
    x = (u * 7.5 + 0.5 * (row % 2)) % 1 - 0.5
    y = (v * 9) % 1 - 0.5
    dot = f32(np.clip((0.26 - np.hypot(x, y)) / 0.09, 0, 1))
    return f32(plain + (np.float32(0.93) - plain) * (dot * 0.92)[..., None])


CLOTHS: Final[dict[str, Cloth]] = {
    "blue": Cloth((0.93, 0.82, 0.64), paint_surgical, ridge=0.0),
    "white": Cloth((0.97, 0.97, 0.96), paint_ffp2, ridge=0.16, sag=0.02),
    "black": Cloth((0.135, 0.125, 0.125), paint_cloth, ridge=0.10, loop_colour=(0.13, 0.12, 0.12), ambient=0.35),
    "dots": Cloth((0.42, 0.17, 0.20), paint_dots, ridge=0.09, loop_colour=(0.9, 0.9, 0.9)),
}


def relief(cloth: Cloth, surf: Surface, width: float) -> F32:
    """Height of the cloth towards the camera, in pixels: bent around the face, raised over nose and chin."""
    u, v = surf.u, surf.v
    bend = 0.52 * np.sqrt(np.clip(1.12 - u**2, 0.01, None))
    nose = 0.07 * np.exp(-((u / 0.22) ** 2) - ((v - 0.22) / 0.28) ** 2)
    chin = 0.03 * np.exp(-((u / 0.45) ** 2) - ((v - 0.85) / 0.2) ** 2)
    fold = cloth.ridge * (1 - np.abs(u)) * (1 - 0.5 * np.abs(v - 0.45))
    under = -0.10 * np.clip(v - 0.7, 0, 1) ** 2 / 0.09  # turns in under the chin
    return f32((bend + nose + chin + fold + under) * width / 2)


def light(portrait: Portrait, cloth: Cloth, surf: Surface, width: float) -> F32:
    """How bright the cloth lies in the portrait's light: its own form, and what the face beneath tells of the light."""
    height = cv2.GaussianBlur(relief(cloth, surf, width), (0, 0), 1.2)
    slope_x, slope_y = (
        cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8),
    )
    towards = f32(portrait.person.light)
    towards = towards / np.linalg.norm(towards)
    lit = (-slope_x * towards[0] - slope_y * towards[1] + towards[2]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    form = cloth.ambient + (1 - cloth.ambient) * np.clip(lit, 0, 1.1)
    return f32(form * face_light(portrait, surf, width))


def face_light(portrait: Portrait, surf: Surface, width: float) -> F32:
    """The face's own brightness, blurred until features are gone, relative to its mean under the mask."""
    luma = grey(portrait.bgr)
    weight = portrait.alpha * surf.alpha
    sigma = width * 0.16
    blurred = cv2.GaussianBlur(luma * weight, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)
    mean = float((blurred * weight).sum() / max(1.0, float(weight.sum())))
    return f32(np.clip(blurred / max(mean, 1.0), 0.5, 1.5)) ** np.float32(0.55)


def draw_loops(bgr: F32, fit: Fit, cloth: Cloth, white: float, width: float) -> F32:
    """Four elastic strings from the mask's corners to behind the ears, with a thin shadow."""
    if not len(fit.ears) or fit.loops <= 0:
        return bgr
    strings, shade = np.zeros(bgr.shape[:2], np.uint8), np.zeros(bgr.shape[:2], np.uint8)
    corners = (fit.top[0], fit.bottom[0], fit.top[-1], fit.bottom[-1])
    thick = max(1, round(width * 0.014))
    for corner, ear in zip(corners, fit.ears, strict=True):
        bow = (corner + ear) / 2 + f32((0, width * 0.012))
        way = np.round(curve(np.stack([corner, (corner + bow) / 2, bow, (bow + ear) / 2, ear]), 24) * 16).astype(
            np.int32
        )
        cv2.polylines(strings, [way], False, (255,), thick, cv2.LINE_AA, 4)
        cv2.polylines(shade, [way + np.int32(16 * thick)], False, (255,), thick, cv2.LINE_AA, 4)
    dark = cv2.GaussianBlur(f32(shade) / 255, (0, 0), 1.2)[..., None] * np.float32(0.35 * fit.loops)
    cover = f32(strings)[..., None] / 255 * np.float32(fit.loops)
    colour = f32(cloth.loop_colour) * np.float32(white * 0.9)
    return f32(bgr * (1 - dark) * (1 - cover) + colour * cover)


def put_on(portrait: Portrait, kind: str, fit: Fit | None = None) -> Portrait:
    """The portrait with a mask. kind: a key of ``CLOTHS``. fit: as worn, unless given."""
    fit = fit or worn(portrait)
    cloth = CLOTHS[kind]
    height, columns = portrait.alpha.shape
    surf = surface(fit, (height, columns), cloth.sag)
    width = float(np.linalg.norm(fit.top[-1] - fit.top[0]))
    white = portrait.person.white
    skin = draw_loops(portrait.bgr, fit, cloth, white, width)
    near = cv2.GaussianBlur(surf.alpha, (0, 0), width * 0.022)
    near = cv2.warpAffine(near, f32(((1, 0, 0), (0, 1, width * 0.014))), (columns, height))
    skin = skin * (1 - SHADOW * near * (1 - surf.alpha))[..., None]
    painted = cloth.paint(surf.u, surf.v, f32(cloth.colour))
    lit = np.clip(painted * (white * light(portrait, cloth, surf, width))[..., None] * 1.06, 0, 250)
    cover = surf.alpha[..., None]
    return replace(
        portrait,
        bgr=f32(skin * (1 - cover) + lit * cover),
        alpha=f32(np.maximum(portrait.alpha, surf.alpha)),
    )
