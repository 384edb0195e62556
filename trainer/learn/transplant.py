"""More badly worn masks: a real mask from one face set onto another, bare one - right, under the nose, or on the chin.

Real badly worn masks are few. A mask cut from a photo keeps its folds and light, where a drawn one teaches a colour. So
that the edges of a paste say nothing, well worn masks and bare lower faces are transplanted in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import INCORRECT, MASK, NO_MASK, ImageU8
from trainer.faces.manifest import FaceRow
from trainer.learn.cloth import dyed, face_frame, folds
from trainer.learn.occluders import Rng, skin_bgr

Points = npt.NDArray[np.float64]

MIN_DONOR_PX: Final = 60.0  # a smaller face gives a mask without folds
SHARE: Final = {INCORRECT: 0.30, MASK: 0.06, NO_MASK: 0.05}  # of the draws of a label that are replaced
TOP: Final = 0.36  # upper edge of a worn mask at the nose, in distances eyes-to-mouth below the eyes
BOTTOM: Final = 1.95  # the chin's end, likewise


@dataclass(frozen=True, slots=True)
class Donor:
    """A face that lends or takes a lower half.

    yaw: how far the nose tip is from the middle of the eyes, along the eyes, in eye distances.
    """

    row: FaceRow
    yaw: float
    masked: bool


def donors(rows: Sequence[FaceRow]) -> list[Donor]:
    """Faces that are large, seen from the front or half side, and whose landmarks make sense."""
    found = []
    for row in rows:
        fit = row.label in (MASK, NO_MASK) and row.shorter_px >= MIN_DONOR_PX and len(row.points) == 5
        if fit and not set(row.flags.split()) & UNFIT:
            frame = face_frame(np.array(row.points))
            yaw = float(np.linalg.solve(frame[:, :2], np.array(row.points[2]) - frame[:, 2])[0])
            if abs(yaw) < 0.6:
                found.append(Donor(row, yaw, row.label == MASK))
    return found


UNFIT: Final = frozenset(
    (
        "type_ng",
        "pasted",
        "hand_at_face",
        "object_at_mouth",
        "scarf",
        "costume_mask",
        "helmet",
        "squeezed",
        "face_shield",
    )
)


def pick(everyone: Sequence[Donor], label: str, rng: Rng) -> tuple[Donor, Donor] | None:
    """A bare face that takes, and one that lends: masked, or bare where the label is ``no_mask``; similarly turned."""
    bare = [d for d in everyone if not d.masked]
    lenders = bare if label == NO_MASK else [d for d in everyone if d.masked]
    if not bare or not lenders:
        return None
    taker = bare[int(rng.integers(len(bare)))]
    few = [lenders[int(i)] for i in rng.integers(0, len(lenders), 12)]
    return taker, min(few, key=lambda d: abs(d.yaw - taker.yaw))


def place(label: str, rng: Rng) -> tuple[float, float, float]:
    """Where the mask goes: upper edge, lower edge (both in v), and its width as a factor."""
    if label != INCORRECT:
        return TOP + rng.normal(0, 0.03), BOTTOM, 1.0
    if rng.random() < 0.65:  # under the nose, the commonest mistake
        return rng.uniform(0.74, 0.88), BOTTOM + rng.uniform(0, 0.2), rng.uniform(0.9, 1.02)
    return rng.uniform(1.2, 1.45), BOTTOM + rng.uniform(0.15, 0.4), rng.uniform(0.8, 0.95)  # on the chin


def transplant(
    taker_bgr: ImageU8, taker: FaceRow, lender_bgr: ImageU8, lender: FaceRow, label: str, *, rng: Rng
) -> ImageU8:
    """The taker's context picture with the lender's lower face on it, so that ``label`` is true of it."""
    top, bottom, wide = place(label, rng)
    source_top = TOP + (rng.uniform(0, 0.12) if label == INCORRECT else 0.0)
    moved = _moving(source_top, top, bottom, wide)
    into, out_of = _square(face_frame(np.array(taker.points))), _square(face_frame(np.array(lender.points)))
    matrix = (into @ moved @ np.linalg.inv(out_of))[:2]
    size = taker_bgr.shape[1], taker_bgr.shape[0]
    lent = _relit(lender_bgr, lender, taker_bgr, taker)
    lent = dyed(lent.shape, folds(lent), rng) if label != NO_MASK and rng.random() < 0.35 else lent
    layer = cv2.warpAffine(lent, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = np.zeros(size[::-1], np.float32)
    outline = _outline(source_top, rng) @ out_of[:2, :2].T + out_of[:2, 2]
    cv2.fillPoly(cover, [np.round(outline @ matrix[:, :2].T + matrix[:, 2]).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.6, 0.008 * max(taker.width, taker.height)))[:, :, None]
    return np.clip(taker_bgr * (1 - soft) + layer * soft, 0, 255).astype(np.uint8)


def _square(frame: Points) -> Points:
    return np.vstack([frame, [0.0, 0.0, 1.0]])


def _moving(source_top: float, top: float, bottom: float, wide: float) -> Points:
    """(3, 3) in face coordinates: v from ``source_top..BOTTOM`` to ``top..bottom``, u scaled by ``wide``."""
    tall = (bottom - top) / (BOTTOM - source_top)
    return np.array([[wide, 0.0, 0.0], [0.0, tall, top - tall * source_top], [0.0, 0.0, 1.0]])


def _outline(top: float, rng: Rng) -> Points:
    """A worn mask in face coordinates, (n, 2) u and v, a little different each time."""
    right_half = [(0.0, top), (0.3, top + 0.04), (0.62, top + 0.16), (0.98, top + 0.2)]
    right_half += [(1.0, 0.95), (0.82, 1.45), (0.45, 1.85), (0.0, BOTTOM)]
    half = np.array(right_half) * (rng.normal(1, 0.04), 1.0)
    outline: Points = np.vstack([half, half[-2:0:-1] * (-1.0, 1.0)]) + rng.normal(0, 0.015, (2 * len(half) - 2, 2))
    return outline


def _relit(lender_bgr: ImageU8, lender: FaceRow, taker_bgr: ImageU8, taker: FaceRow) -> npt.NDArray[np.float32]:
    """The lender's picture in the taker's light, judged by the skin around the eyes."""
    own, other = skin_bgr(lender_bgr, lender.box)[1].mean(), skin_bgr(taker_bgr, taker.box)[1].mean()
    gain = np.float32(np.clip((other + 20) / (own + 20), 0.6, 1.5))
    lit: npt.NDArray[np.float32] = lender_bgr.astype(np.float32) * gain
    return lit
