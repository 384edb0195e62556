"""Copies among the faces of a set: the best one stays, those with different labels all go, what is merely near is
joined into one group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trainer.faces.cutting import CutFace
from trainer.faces.fingerprints import similar_pairs
from trainer.faces.groups import Sets
from trainer.faces.manifest import FaceRow
from trainer.faces.photos import Dropped

COPY: Final = 0.95  # correlation from which two faces are one photo: see fingerprints.py
NEAR: Final = 0.92  # one photo, or one person in one pose: not to be split


@dataclass(frozen=True, slots=True)
class Sifted:
    """rows: without copies, near ones joined into one group. dropped: the copies, each with what it is a copy of."""

    rows: list[FaceRow]
    dropped: list[Dropped]


def sift(faces: Sequence[CutFace]) -> Sifted:
    """Drop copies, join what is near. The same faces give the same answer in any order of pairs."""
    rows = [f.row for f in faces]
    pairs = similar_pairs([f.fingerprint for f in faces], NEAR)
    copies, near = Sets(), Sets()
    by_photo: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_photo.setdefault(row.sha256, []).append(i)
    for own in by_photo.values():  # one photo published twice under two names is one group
        for i in own[1:]:
            near.join(rows[own[0]].group, rows[i].group)
    for i, j, fit in pairs:
        near.join(rows[i].group, rows[j].group)
        if fit >= COPY:
            copies.join(_key(i), _key(j))
    dropped = _drop_copies(rows, copies)
    kept = [replace(r, group=near.find(r.group)) for i, r in enumerate(rows) if i not in dropped]
    return Sifted(kept, [dropped[i] for i in sorted(dropped)])


def _key(index: int) -> str:
    return f"{index:09d}"  # the first face stands for its copies


def _drop_copies(rows: Sequence[FaceRow], copies: Sets) -> Mapping[int, Dropped]:
    families: dict[str, list[int]] = {}
    for i in range(len(rows)):
        families.setdefault(copies.find(_key(i)), []).append(i)
    dropped: dict[int, Dropped] = {}
    for family in families.values():
        best = max(family, key=lambda i: (_worth(rows[i]), -i))
        conflict = len({rows[i].label for i in family}) > 1
        for i in family:
            if conflict:
                dropped[i] = _dropped(rows[i], "label conflict", _others(rows, family, i))
            elif i != best:
                same = rows[i].sha256 == rows[best].sha256
                reason = "exact copy" if same else "near-duplicate"
                dropped[i] = _dropped(rows[i], reason, f"of {rows[best].origin}")
    return dropped


def _worth(row: FaceRow) -> tuple[int, float]:
    """Larger is better; of faces within a tenth of one size the sharper."""
    return round(math.log(row.shorter_px, 1.1)), row.sharpness


def _others(rows: Sequence[FaceRow], family: Sequence[int], i: int) -> str:
    others = [rows[j] for j in family if rows[j].label != rows[i].label]
    return f"with {others[0].origin} ({others[0].label})"


def _dropped(row: FaceRow, reason: str, detail: str) -> Dropped:
    return Dropped(row.origin, row.source, row.label, reason, detail)
