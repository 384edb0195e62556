"""What tells that two faces are one photo: perceptual hashes to find candidates, aligned correlation to confirm.

A hash of the face (64 bits, ``imagehash.phash``) survives re-saving and small cuts, one of the whole picture survives
scaling; both are blind to a few changed details. So candidates are laid over each other and slid at five sizes. On the
training sets pairs that correlate at 0.95 or more were the same photo (two averaged faces apart), those at 0.90 a mix
of one photo, one person and two people in one pose. Of copies made on purpose nine of ten reach that where they were
re-saved, halved or mirrored, three of four where they were cut; a second hash of 256 bits in its place found half of
them, because a detector's box moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import Box, ImageU8

PATCH_PX: Final = 60  # the face's longer side is 40 of them
PATCH_MARGIN: Final = 0.25
FACE: Final = slice(10, 50)
SCALES_PX: Final = (40, 37, 43, 34, 46)  # the likeliest first
HASHED_PX: Final = 64
FACE_BITS: Final = 12  # candidates: at 14 there are five times as many, nearly all of them strangers
PICTURE_BITS: Final = 8
HOPELESS: Final = 0.8  # at the likeliest size; the others add a few hundredths


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """face, picture: 64-bit hashes of the face with a tenth of air and of the whole picture. mirrored: of their
    mirror images.

    patch: (60, 60) uint8 grey, the face with a quarter of air.
    """

    face: int
    face_mirrored: int
    picture: int
    picture_mirrored: int
    patch: npt.NDArray[np.uint8]


def _hashes(grey: npt.NDArray[np.uint8]) -> tuple[int, int]:
    both = (grey, np.ascontiguousarray(grey[:, ::-1]))
    first, mirrored = (int(str(imagehash.phash(Image.fromarray(each))), 16) for each in both)
    return first, mirrored


def picture_hashes(image_bgr: ImageU8) -> tuple[int, int]:
    """Of a whole picture and of its mirror image. image_bgr: (height, width, 3) uint8."""
    small = cv2.resize(image_bgr, (HASHED_PX, HASHED_PX), interpolation=cv2.INTER_AREA)
    return _hashes(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.uint8))


def fingerprint(image_bgr: ImageU8, box: Box, whole: tuple[int, int]) -> Fingerprint:
    """Of one face. whole: ``picture_hashes`` of the picture, which its faces share."""
    face = cv2.cvtColor(crop_face(image_bgr, box, 0.1, HASHED_PX), cv2.COLOR_RGB2GRAY).astype(np.uint8)
    patch = cv2.cvtColor(crop_face(image_bgr, box, PATCH_MARGIN, PATCH_PX), cv2.COLOR_RGB2GRAY).astype(np.uint8)
    return Fingerprint(*_hashes(face), *whole, patch)


def correlation(a: Fingerprint, b: Fingerprint, *, mirrored: bool) -> float:
    """How well face ``a`` lies over ``b`` where it fits best, -1 to 1."""
    under = np.ascontiguousarray(b.patch[:, ::-1]) if mirrored else b.patch
    best = -1.0
    for size in SCALES_PX:
        face = a.patch[FACE, FACE]
        method = cv2.INTER_AREA if size < face.shape[0] else cv2.INTER_LINEAR
        scaled = cv2.resize(face, (size, size), interpolation=method)
        best = max(best, float(cv2.matchTemplate(under, scaled, cv2.TM_CCOEFF_NORMED).max()))
        if best < HOPELESS:
            break
    return best


def near(hashes: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64], max_bits: int) -> npt.NDArray[np.int64]:
    """Pairs (i, j), i < j, where ``hashes[i]`` and ``others[j]`` differ in at most ``max_bits`` bits: (n, 2)."""
    found = [np.empty((0, 2), np.int64)]
    for i in range(len(hashes) - 1):
        differing = (others[i + 1 :] ^ hashes[i]).view(np.uint8).reshape(-1, 8)  # np.bitwise_count needs numpy 2
        j = np.nonzero(BITS[differing].sum(axis=1) <= max_bits)[0] + i + 1
        found.append(np.stack([np.full_like(j, i), j], axis=1))
    return np.concatenate(found)


BITS: Final = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def similar_pairs(faces: Sequence[Fingerprint], least: float) -> list[tuple[int, int, float]]:
    """Pairs of faces (i, j, correlation) that are candidates by a hash and correlate at ``least`` or more."""
    column = {n: np.array([getattr(f, n) for f in faces], np.uint64) for n in Fingerprint.__slots__ if n != "patch"}
    pairs: dict[tuple[int, int], float] = {}
    for mirrored in (False, True):
        tail = "_mirrored" if mirrored else ""
        candidates = {
            (int(i), int(j))
            for name, bits in (("face", FACE_BITS), ("picture", PICTURE_BITS))
            for i, j in near(column[name], column[name + tail], bits)
        }
        for i, j in sorted(candidates):
            fit = correlation(faces[i], faces[j], mirrored=mirrored)
            if fit >= least:
                pairs[i, j] = max(fit, pairs.get((i, j), -1.0))
    return [(i, j, fit) for (i, j), fit in sorted(pairs.items())]
