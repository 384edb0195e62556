"""What belongs together and must not be split: people under two numberings, and frames of one burst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from trainer.faces.photos import Photo

BURST_S: Final = 10.0  # a person at a door is there for about as long
LONGEST_BURST_S: Final = 60.0  # or a busy door would give one group, which cannot be split


class Sets:
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


def join_people(photos: Sequence[Photo], same_people: Sequence[tuple[str, str]]) -> list[Photo]:
    """Groups of sources that number the same people alike become one; ``same_people`` pairs their names."""
    stands_for = {other: first for first, other in same_people}
    return [
        replace(p, group=stands_for[p.source] + p.group.removeprefix(p.source)) if p.source in stands_for else p
        for p in photos
    ]


def join_bursts(photos: Sequence[Photo], taken_s: Mapping[str, float]) -> list[Photo]:
    """Photos of one source that were taken within ``BURST_S`` of one another become one group.

    taken_s: seconds by a photo's name; one without a time stays by itself. Chains are followed, but not for longer than
    ``LONGEST_BURST_S``: a queue of people without a gap gives a group a minute, and one of them may be in two.
    """
    sets = Sets()
    timed = sorted((p for p in photos if p.name in taken_s), key=lambda p: (taken_s[p.name], p.name))
    first_s = taken_s[timed[0].name] if timed else 0.0
    for earlier, later in pairwise(timed):
        before_s, now_s = taken_s[earlier.name], taken_s[later.name]
        if now_s - before_s <= BURST_S and now_s - first_s <= LONGEST_BURST_S:
            sets.join(earlier.group, later.group)
        else:
            first_s = now_s
    return [replace(p, group=sets.find(p.group)) for p in photos]
