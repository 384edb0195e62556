"""Cloth of every colour and pattern, and real worn masks dyed with it: what is learned must not be light blue.

A dyed mask keeps its own folds, edges and light; only the colour of what is not skin changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, ImageU8
from trainer.learn.occluders import skin_bgr

Rng = np.random.Generator
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

TELLS_APART: Final = 30.0  # least distance of cloth from skin, Lab units of 8-bit pictures; nearer ones run together
GREY: Final = 8.0  # chroma below which cloth has no hue, likewise
FEWEST_PX: Final = 60  # of cloth; fewer are a strap or a shadow
MOST_TURNED: Final = 0.35  # of the nose tip from the middle, in eye distances; beyond it the background joins in
# The lower face in which cloth is looked for, and a row that every mask but one over the eyes covers: across in eye
# distances from the middle, down in distances from eyes to mouth below the eyes.
HALF_WIDTH: Final = 1.15
FROM: Final = 0.05
TO: Final = 2.1
BELOW: Final = 1.45


def dyed(shape: tuple[int, ...], shade: npt.NDArray[Any], rng: Rng) -> Floats:
    """(height, width, 3) 0-255 of one cloth under ``shade``, (height, width, 1): its folds as shares of full light.

    Plain in six of ten; stripes, checks, blotches or a colour running into another in the rest.
    """
    cloth = np.broadcast_to(colour(rng), (*shape[:2], 3))
    kind = rng.random()
    if kind < 0.4:
        make = (_stripes, _checks, _blotches, _run)[int(kind * 10)]
        blend = make(shape[:2], rng)
        cloth = cloth * blend + colour(rng) * (1 - blend)
    cloth_bgr: Floats = np.clip(cloth * shade, 0, 255).astype(np.float32)
    return cloth_bgr


def colour(rng: Rng) -> npt.NDArray[np.float64]:
    """Any cloth's, BGR 0-255: a third are greys from black to white, as masks are."""
    return np.full(3, rng.uniform(8, 250)) if rng.random() < 0.33 else rng.uniform(15, 245, 3)


def _waves(shape: tuple[int, ...], angle: float, period: float) -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    waves: npt.NDArray[np.bool_] = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period) > 0
    return waves


def _stripes(shape: tuple[int, ...], rng: Rng) -> npt.NDArray[Any]:
    return _waves(shape, rng.uniform(0, math.pi), rng.uniform(4, 24)).astype(np.float32)[:, :, None]


def _checks(shape: tuple[int, ...], rng: Rng) -> npt.NDArray[Any]:
    angle, period = rng.uniform(0, math.pi), rng.uniform(5, 24)
    crossed = _waves(shape, angle, period) ^ _waves(shape, angle + math.pi / 2, period)
    return crossed.astype(np.float32)[:, :, None]


def _blotches(shape: tuple[int, ...], rng: Rng) -> npt.NDArray[Any]:
    cells = [max(2, n // int(rng.integers(4, 16))) for n in shape]
    fine = cv2.resize(rng.random(cells), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    blotches: npt.NDArray[Any] = np.clip((fine - 0.4) * 5, 0, 1)[:, :, None]
    return blotches


def _run(shape: tuple[int, ...], rng: Rng) -> npt.NDArray[Any]:
    rows = np.linspace(rng.uniform(-0.5, 0.5), rng.uniform(0.5, 1.5), shape[0])
    return np.clip(rows, 0, 1)[:, None, None]


def folds(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(height, width, 1): light and shade of a picture of cloth, 1 being its full light."""
    light = image.mean(axis=2, keepdims=True)
    shade: npt.NDArray[Any] = light / max(20.0, float(np.percentile(light, 80)))
    return shade


def redye(image: ImageU8, points: Sequence[tuple[float, float]], box: Box, rng: Rng) -> ImageU8:
    """The same picture with the worn mask in another colour; unchanged where the mask cannot be told from the skin.

    image: (height, width, 3) uint8 BGR. points: right eye, left eye, nose tip, corners of the mouth, in its pixels.
    Only what joins the cloth below the mouth and is nearer to its colour than to the skin's changes, so that a nose
    that a badly worn mask leaves bare stays bare. A face turned far to one side, and cloth in a skin's hue, are left.
    """
    frame = face_frame(np.array(points))
    window = _window(frame, image.shape[:2])
    if window is None or abs(_turned_to_side(frame, np.array(points))) > MOST_TURNED:
        return image
    patch = np.ascontiguousarray(image[window])
    here = frame - np.array([[0, 0, window[1].start], [0, 0, window[0].start]])
    skin = cv2.cvtColor(skin_bgr(image, box)[1].reshape(1, 1, 3).astype(np.uint8), cv2.COLOR_BGR2LAB)[0, 0]
    cloth = _cloth(patch, here, skin.astype(np.float32))
    if cloth is None:
        return image
    cover = cv2.GaussianBlur(cloth, (0, 0), 0.8)[:, :, None]
    full_light = max(20.0, float(np.percentile(patch[cloth > 0.5].mean(axis=1), 80)))
    light = patch.mean(axis=2, keepdims=True) / full_light
    new = image.copy()
    new[window] = np.clip(patch + cover * (dyed(patch.shape, light, rng) - patch), 0, 255).astype(np.uint8)
    return new


def face_frame(points: Points) -> Points:
    """(2, 3) affine from face to picture: origin between the eyes, u = 1 from eye to eye, v = 1 down to the mouth."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    frame: Points = np.stack([points[1] - points[0], mouth - eyes, eyes], axis=1)
    return frame


def _turned_to_side(frame: Points, points: Points) -> float:
    """How far the nose tip is from the middle, in eye distances; far where the frame is flat and means nothing."""
    if abs(np.linalg.det(frame[:, :2])) < 1.0:
        return math.inf
    return float(np.linalg.solve(frame[:, :2], points[2] - frame[:, 2])[0])


def _window(frame: Points, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of the picture around the lower face; None where that is too small to matter."""
    sides = HALF_WIDTH * np.array([-1, 1, 1, -1])
    corners = np.stack([sides, np.array([FROM, FROM, TO, TO])], axis=1) @ frame[:, :2].T + frame[:, 2]
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)), shape[::-1]).astype(int)
    if (high - low < 12).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _cloth(patch: ImageU8, frame: Points, skin_lab: Floats) -> Floats | None:
    """(height, width) 0-1 from skin to cloth; None where the two are too near in colour, or little cloth is there."""
    lab = cv2.cvtColor(patch, cv2.COLOR_BGR2LAB).astype(np.float32)
    x, y = np.round(frame @ (0.0, BELOW, 1.0)).astype(int)
    reach = max(2, round(0.25 * float(np.hypot(*frame[:, 0]))))
    sample = lab[max(0, y - reach) : max(0, y + reach), max(0, x - reach) : max(0, x + reach)].reshape(-1, 3)
    cloth = np.median(sample, axis=0) if len(sample) else skin_lab
    if np.linalg.norm(cloth - skin_lab) < TELLS_APART or _same_hue(cloth, skin_lab):
        return None
    to_skin, to_cloth = np.linalg.norm(lab - skin_lab, axis=2), np.linalg.norm(lab - cloth, axis=2)
    like = np.clip((to_skin / (to_skin + to_cloth + 1e-3) - 0.45) * 8, 0, 1).astype(np.float32)
    like = _joined(like * _lower_face(patch.shape[:2], frame), (int(x), int(y)), reach)
    return like if (like > 0.5).sum() >= FEWEST_PX else None


def _same_hue(cloth: Floats, skin: Floats) -> bool:
    """Whether cloth may be skin in the shade: of the skin's hue, and not grey."""
    a, b = cloth[1:] - 128, skin[1:] - 128
    return bool(np.hypot(*a) > GREY and a @ b > 0.85 * np.hypot(*a) * np.hypot(*b))


def _joined(like: Floats, at: tuple[int, int], reach: int) -> Floats:
    """Without what does not hang together with most of the cloth around ``at``: hair, collars, the background."""
    _, parts = cv2.connectedComponents((like > 0.5).astype(np.uint8))
    near = parts[max(0, at[1] - reach) : max(0, at[1] + reach), max(0, at[0] - reach) : max(0, at[0] + reach)]
    counts = np.bincount(near[near > 0].ravel(), minlength=2)
    kept: Floats = like * (parts == int(counts.argmax())) if counts.any() else like * 0
    return kept.astype(np.float32)


def _lower_face(shape: tuple[int, ...], frame: Points) -> Floats:
    """(height, width) 1 within an oval on the lower face, 0 outside."""
    half = [(0.0, FROM), (0.55, 0.1), (1.0, 0.3), (HALF_WIDTH, 0.9), (0.95, 1.5), (0.55, 2.0), (0.0, TO)]
    outline = np.array(half + [(-u, v) for u, v in half[-2:0:-1]])
    inside = np.zeros(shape, np.float32)
    cv2.fillPoly(inside, [np.round(outline @ frame[:, :2].T + frame[:, 2]).astype(np.int32)], 1.0)
    return inside
