"""Which faces are held out: whole groups, stratified by source and class, seeded.

Near-duplicates, by a perceptual hash of the face, become one group first, so that a copy never sits on both sides.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow


class _Sets:
    """Disjoint sets of names that can be joined (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        root = name
        while (up := self._parent.get(root, root)) != root:
            root = up
        self._parent[name] = root
        return root

    def join(self, first: str, second: str) -> None:
        """The smaller name stands for both, so that the order of joining changes nothing."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low


def near_pairs(hashes: Sequence[str], max_bits: int) -> list[tuple[int, int]]:
    """Pairs of 64-bit hex hashes that differ in at most ``max_bits`` bits; empty hashes match nothing."""
    bits = np.array([int(h, 16) if h else 0 for h in hashes], dtype=np.uint64)
    known = np.array([bool(h) for h in hashes])
    pairs = []
    for i in range(len(bits)):
        differing = (bits[i + 1 :] ^ bits[i]).view(np.uint8).reshape(-1, 8)  # np.bitwise_count needs numpy 2
        near = np.unpackbits(differing, axis=1).sum(axis=1) <= max_bits
        pairs += [(i, i + 1 + int(j)) for j in np.nonzero(near & known[i + 1 :] & known[i])[0]]
    return pairs


def join_near_duplicates(rows: Sequence[FaceRow], max_bits: int) -> tuple[list[FaceRow], int]:
    """Give near-duplicate faces one group. Returns the rows and how many pairs crossed groups before."""
    sets = _Sets()
    crossing = 0
    for i, j in near_pairs([r.phash for r in rows], max_bits):
        crossing += rows[i].group != rows[j].group
        sets.join(rows[i].group, rows[j].group)
    for rows_of_photo in _by(rows, "sha256").values():  # one photo published twice under two names
        for other in rows_of_photo[1:]:
            sets.join(rows_of_photo[0].group, other.group)
    return [replace(r, group=sets.find(r.group)) for r in rows], crossing


def _by(rows: Sequence[FaceRow], field: str) -> dict[str, list[FaceRow]]:
    found: dict[str, list[FaceRow]] = defaultdict(list)
    for row in rows:
        found[getattr(row, field)].append(row)
    return found


def hold_out(rows: Sequence[FaceRow], sources: Collection[str], share: float, seed: int) -> list[FaceRow]:
    """Deal whole groups to ``held_out`` until each (source, label) has about ``share`` of its faces there.

    Only groups all of whose faces come from ``sources`` may be held out. The rarest class is dealt first, because a
    group of several classes settles them together.
    """
    groups = _by(rows, "group")
    may = sorted(g for g, own in groups.items() if all(r.source in sources for r in own))
    random.Random(seed).shuffle(may)
    goal = Counter((r.source, r.label) for r in rows if r.source in sources)
    due = {key: share * count for key, count in goal.items()}
    held: set[str] = set()
    for key in sorted(due, key=lambda k: goal[k]):
        for group in may:
            own = Counter((r.source, r.label) for r in groups[group])
            if group in held or not own[key] or due[key] < own[key] / 2:
                continue
            held.add(group)
            for each, count in own.items():
                due[each] -= count
    return [replace(r, split=HELD_OUT if r.group in held else TRAIN) for r in rows]
