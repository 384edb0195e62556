"""What is painted over on the source pictures: a longer body, a sweater, lettering, leaves seen through hair."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from demo.arrays import F32, f32, grey, polygon, u8

SWEATER_BGR: Final = (86, 66, 54)
ARM_LINE: Final = ((1.32, -0.05), (1.22, 0.5), (1.2, 1.2), (1.28, 4))  # half necklines outwards, faces downwards


def stretch_foot(image: F32, foot: tuple[int, int, int] | None, scale: float) -> F32:
    """Stretch rows near the lower edge, for pictures that end too high. foot: as in ``Person``."""
    if foot is None:
        return image
    first, last = round(foot[0] * scale), min(image.shape[0], round(foot[1] * scale))
    size = (image.shape[1], (last - first) * foot[2])
    return f32(np.vstack([image[:first], cv2.resize(image[first:last], size, interpolation=cv2.INTER_CUBIC)]))


def soft_noise(shape: tuple[int, int], across_px: float, down_px: float, seed: int) -> F32:
    """Noise of mean 0 and deviation 1 with blotches of the given size."""
    rough = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), sigmaX=across_px, sigmaY=down_px)
    return f32(smooth / smooth.std())


def knit(bgr: F32, alpha: F32, neckline: F32, face_px: float) -> F32:
    """Paint a dark blue sweater with a ribbed collar over everything below the neckline."""
    height, width = alpha.shape
    ends = ((width + 9, neckline[-1, 1]), (width + 9, height + 9), (-9, height + 9), (-9, neckline[0, 1]))
    cover = f32(polygon((height, width), f32(np.vstack([neckline, ends])))) / 255
    light = body_light(alpha, neckline, face_px) * (1 + 0.07 * soft_noise((height, width), 11, 45, 1))
    yarn = 1 + 0.05 * soft_noise((height, width), 1.0, 1.4, 2)
    cloth = f32(SWEATER_BGR) * (light * yarn * collar(alpha, neckline))[..., None]
    shade = cv2.GaussianBlur(cover, (0, 0), 3.5) * (1 - cover)
    return f32((bgr * (1 - 0.55 * shade[..., None])) * (1 - cover[..., None]) + cloth * cover[..., None])


def body_light(alpha: F32, neckline: F32, face_px: float) -> F32:
    """How bright cloth is on a body: darker towards its edges, downwards, and where the arms lie on it."""
    inside = cv2.distanceTransform(u8(alpha > 0.5), cv2.DIST_L2, 5)
    rounded = 0.62 + 0.38 * np.sqrt(np.clip(inside / (0.42 * face_px), 0, 1))
    below = np.arange(alpha.shape[0])[:, None] - neckline[:, 1].min()
    downwards = 1.12 - 0.25 * np.clip(below / (3 * face_px), 0, 1)
    return f32(rounded * downwards * (1 - 0.42 * arm_creases(alpha, neckline, face_px)))


def collar(alpha: F32, neckline: F32) -> F32:
    """The ribs along the neckline, as a factor."""
    rib = np.zeros(alpha.shape, np.uint8)
    cv2.polylines(rib, [np.round(neckline * 16).astype(np.int32)], False, (255,), 9, cv2.LINE_AA, 4)
    rows, columns = np.indices(alpha.shape, np.float32)
    ribs = 0.12 + 0.22 * np.sin(columns * 1.9 + rows * 0.8)
    return f32(1 + f32(cv2.GaussianBlur(rib, (0, 0), 1)) / 255 * ribs)


def arm_creases(alpha: F32, neckline: F32, face_px: float) -> F32:
    """Where the arms lie on the body: two soft dark lines from the armpits down, 0-1."""
    lines = np.zeros(alpha.shape, np.uint8)
    left, right, lowest = neckline[0, 0], neckline[-1, 0], neckline[:, 1].max()
    middle, half = (left + right) / 2, (right - left) / 2
    for side in (-1, 1):
        way = [(middle + side * half * a, lowest + face_px * d) for a, d in ARM_LINE]
        cv2.polylines(lines, [np.round(f32(way) * 16).astype(np.int32)], False, (255,), 5, cv2.LINE_AA, 4)
    fine, wide = cv2.GaussianBlur(lines, (0, 0), 2.0), cv2.GaussianBlur(lines, (0, 0), 9.0)
    return f32((0.6 * f32(fine) + 1.6 * f32(wide)) / 255)


def blot_out(bgr: F32, region: F32) -> F32:
    """Paint over light lettering on a dark strap."""
    inside = polygon(bgr.shape, region) > 127
    letters = inside & (bgr.max(axis=2) > 70)
    spread = cv2.dilate(letters.astype(np.uint8), np.ones((5, 5), np.uint8)) * inside.astype(np.uint8)
    return f32(cv2.inpaint(u8(bgr), spread, 4, cv2.INPAINT_TELEA))


def darken_hair(bgr: F32, region: F32) -> F32:
    """Take leaves and sky out of loose hair: what is green, blue or bright there becomes dark brown."""
    inside = f32(cv2.GaussianBlur(polygon(bgr.shape, region), (0, 0), 2)) / 255
    luma = grey(bgr)
    tint = np.maximum(bgr[..., 1], bgr[..., 0]) - bgr[..., 2]
    foreign = inside * np.clip(np.maximum((tint + 8) / 8, (luma - 60) / 30), 0, 1)
    hair = np.minimum(luma, 22 + 0.16 * luma)[..., None] * f32((0.80, 0.90, 1.12))
    return f32(bgr + (hair - bgr) * foreign[..., None])
