"""What belongs together and must not be split: people under two numberings, and frames of one burst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from trainer.faces.photos import Photo
from trainer.faces.published import time_taken

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


def join_groups(
    photos: Sequence[Photo],
    taken_together: Iterable[tuple[Photo, Photo]] = (),
    same_people: Sequence[tuple[str, str]] = (),
) -> list[Photo]:
    """What belongs together becomes one group: a person under two numberings, photos of one burst.

    taken_together: see ``bursts``. same_people: pairs of sources that number the same people alike. Chains of both are
    followed: whoever stands in a burst with Anna in one source is in Anna's group in the other too.
    """
    numbering = _numberings(same_people)

    def group(photo: Photo) -> str:
        return numbering.get(photo.source, photo.source) + photo.group.removeprefix(photo.source)

    sets = Sets()
    for earlier, later in taken_together:
        sets.join(group(earlier), group(later))
    return [replace(p, group=sets.find(group(p))) for p in photos]


def _numberings(same_people: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The source whose name stands for a source's numbering of people: of those alike the one that is named first."""
    alike = Sets()
    for first, other in same_people:
        alike.join(first, other)
    named = [name for pair in same_people for name in pair]
    first_named: dict[str, str] = {}
    for name in named:
        first_named.setdefault(alike.find(name), name)
    return {name: first_named[alike.find(name)] for name in named}


def times_taken(photos: Iterable[Photo]) -> dict[str, float]:
    """Seconds by the name of a photo of one source, of those that tell (see ``time_taken``)."""
    times = {name: time_taken(path) for name, path in {p.name: p.path for p in photos}.items()}
    return {name: moment for name, moment in times.items() if moment is not None}


def bursts(photos: Sequence[Photo], taken_s: Mapping[str, float]) -> list[tuple[Photo, Photo]]:
    """Photos of one source, each with the next that was taken within ``BURST_S`` of it.

    taken_s: seconds by a photo's name; one without a time stays by itself. Chains are followed, but not for longer than
    ``LONGEST_BURST_S``: a queue of people without a gap gives a group a minute, and one of them may be in two.
    """
    together = []
    timed = sorted((p for p in photos if p.name in taken_s), key=lambda p: (taken_s[p.name], p.name))
    first_s = taken_s[timed[0].name] if timed else 0.0
    for earlier, later in pairwise(timed):
        before_s, now_s = taken_s[earlier.name], taken_s[later.name]
        if now_s - before_s <= BURST_S and now_s - first_s <= LONGEST_BURST_S:
            together.append((earlier, later))
        else:
            first_s = now_s
    return together
