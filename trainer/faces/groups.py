"""What belongs together and must not be split: people under two numberings, and frames of one burst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from trainer.faces.photos import Photo

BURST_S: Final = 10.0  # a person at a door is there for about as long


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

    taken_s: seconds by a photo's name; one without a time stays by itself. Chains are followed: a queue of people
    without a gap is one group, which is safe, if large.
    """
    sets = Sets()
    timed = sorted((p for p in photos if p.name in taken_s), key=lambda p: (taken_s[p.name], p.name))
    for earlier, later in pairwise(timed):
        if taken_s[later.name] - taken_s[earlier.name] <= BURST_S:
            sets.join(earlier.group, later.group)
    return [replace(p, group=sets.find(p.group)) for p in photos]
