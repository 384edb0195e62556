"""Faces over time: the same person keeps one number.

A face is matched to the person whose predicted place and size it fits best. A person who is not seen for a moment (a
detector's gap, a hand before the face, somebody in front) is waited for; one who comes back within ``return_s`` to
where they left is the same one. A face that never moved while it was there (a poster, a statue) leaves a mark where it
was: what later begins just there and stays as still is the same thing again, and is told of no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge.appearance import Appearance, blend, difference
from edge.records import Face, Sighting

CONFIRM_HITS: Final = 3  # frames in which a face must surely be found before it is a person: detectors flicker
CONFIRM_SPAN_S: Final = 0.15  # and over how long: three frames of a fast camera show the same noise
CONFIRM_WINDOW_S: Final = 1.0
COAST_S: Final = 0.5  # how long a movement is believed to go on unseen
GLIMPSE_S: Final = 0.2  # a face unseen for longer may be another's
GLIMPSE_GAPS: Final = 1.5  # and in usual frame intervals: from one frame to the next nobody was away
REACH: Final = 0.9  # how far from where it was expected a face may be, in face sizes
REACH_GROWTH: Final = 1.2  # and how much that grows per second unseen: people turn and step aside
MAX_REACH: Final = 2.2
MAX_SIZE_RATIO: Final = 1.9
OVERLAID_SHARE: Final = 0.1
SIZE_WEIGHT: Final = 0.7  # cost of a size that differs by a factor e, in face sizes of distance
SPEED_MEMORY_S: Final = 0.25  # time constant of the smoothed speed
SIZE_MEMORY_S: Final = 0.5  # and of the size that decides whether a face counts: boxes jitter by a pixel or two
COLOUR_USUAL: Final = 6.0  # how far a person's hair and clothes differ from one sight to the next (Lab)
COLOUR_PER_SIZE: Final = 6.0  # and how much more than that weighs as much as one face size of distance
STILL_AFTER_S: Final = 0.5
STILL_EXTENT: Final = 0.25  # share of a face's size within which it has to stay to count as a thing on the wall
STILL_MEMORY_S: Final = 300.0
STILL_REACH: Final = 0.4  # where a thing may be found again, in face sizes
STILL_SIZE_RATIO: Final = 1.3
USUAL_GAPS: Final = 3.5  # so many of the usual frame intervals are no absence, however slow the camera


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one frame brought: who was seen, and who is now known to have gone (in order of their numbers)."""

    sightings: tuple[Sighting, ...]
    gone: tuple[Gone, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """stayed_s: from first to last sight."""

    person: int
    stayed_s: float


@dataclass(slots=True, eq=False)
class _Track:
    """One face followed. Places in pixels, speeds in pixels per second, times in seconds of the source.

    mark: the thing on the wall that this face seems to be again; such a face is nobody new while it stays still.
    """

    x: float
    y: float
    size: float
    shorter_px: float
    first_s: float
    last_s: float
    mark: _Mark | None = None
    speed_x: float = 0.0
    speed_y: float = 0.0
    person: int | None = None
    sights: int = 0
    hits: list[float] = field(default_factory=list)  # times of sure sights within the window
    home: tuple[float, float] = (0.0, 0.0)
    appearance: Appearance | None = None
    extent: float = 0.0  # how far it ever was from where it began, in face sizes

    def cost(self, face: Face, t_s: float, glimpse_s: float) -> float:
        """Distance from the expected place and size, in face sizes; infinite where it cannot be this person.

        glimpse_s: a face unseen for longer must also look like this person.
        """
        unseen_s = t_s - self.last_s
        coast_s = min(unseen_s, COAST_S)
        x, y = face.box.center
        size = face_size(face)
        ratio = abs(math.log(size / self.size))
        scale = math.sqrt(size * self.size)
        moved = math.hypot(x - self.x - self.speed_x * coast_s, y - self.y - self.speed_y * coast_s)
        stayed = math.hypot(x - self.x, y - self.y)  # who was walking may have stopped
        distance = min(moved, stayed + 0.1 * scale) / scale
        if unseen_s > glimpse_s:  # somebody may have gone and the next one come
            distance += strangeness(self.appearance, face)
        reach = min(MAX_REACH, REACH + REACH_GROWTH * unseen_s)
        if ratio > math.log(MAX_SIZE_RATIO) or distance > reach:
            return math.inf
        return distance + SIZE_WEIGHT * ratio

    def see(self, face: Face, t_s: float, is_sure: bool, window_s: float) -> None:
        """window_s: how far back sure sights count towards making this a person."""
        x, y = face.box.center
        elapsed = t_s - self.last_s
        if elapsed > 0:
            trust = 1 - math.exp(-elapsed / SPEED_MEMORY_S)
            self.speed_x += trust * ((x - self.x) / elapsed - self.speed_x)
            self.speed_y += trust * ((y - self.y) / elapsed - self.speed_y)
        self.sights += 1
        weight = max(1 / self.sights, 1 - math.exp(-elapsed / SIZE_MEMORY_S))  # a plain mean of the first sights
        self.shorter_px += weight * (face.box.shorter_px - self.shorter_px)
        self.x, self.y, self.last_s = x, y, t_s
        self.size += 0.5 * (face_size(face) - self.size)
        self.appearance = blend(self.appearance, face.appearance)
        self.extent = max(self.extent, math.hypot(x - self.home[0], y - self.home[1]) / self.size)
        self.hits = [h for h in self.hits if t_s - h <= window_s] + [t_s] * is_sure

    @property
    def is_confirmed(self) -> bool:
        """Was it surely found often enough, over long enough, and is it not just a known thing again?"""
        is_thing = self.mark is not None and self.extent <= STILL_EXTENT
        return not is_thing and len(self.hits) >= CONFIRM_HITS and self.hits[-1] - self.hits[0] >= CONFIRM_SPAN_S

    @property
    def is_still(self) -> bool:
        """Did it never move while it was there?"""
        return self.extent <= STILL_EXTENT and self.last_s - self.first_s >= STILL_AFTER_S


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    """Where a face was that never moved. x, y: pixels; last_s: when it was last seen."""

    x: float
    y: float
    size: float
    last_s: float
    appearance: Appearance | None

    def fits(self, face: Face) -> bool:
        x, y = face.box.center
        distance = math.hypot(x - self.x, y - self.y) / self.size + max(0.0, strangeness(self.appearance, face))
        return distance <= STILL_REACH and abs(math.log(face_size(face) / self.size)) <= math.log(STILL_SIZE_RATIO)


class Tracker:
    """Gives every face a person. Two runs over the same faces give the same persons; the order of faces in a frame
    says nothing.

    return_s: a person unseen for less than this, who comes back where they left, is the same person.
    sure_score: faces of at least this score make a person; others only keep one that is there (as in Zhang et al.,
    "ByteTrack", 2022: low scores are people half hidden, or patterns, and the track tells which).
    """

    def __init__(self, return_s: float = 2.0, sure_score: float = 0.0) -> None:
        self._return_s = return_s
        self._sure_score = sure_score
        self._tracks: list[_Track] = []
        self._marks: list[_Mark] = []
        self._persons = 0
        self._last_s: float | None = None
        self._interval_s = 0.0  # usual time between frames

    def update(self, t_s: float, faces: Sequence[Face]) -> Tracked:
        """Faces found at ``t_s`` (never earlier than the call before)."""
        self._learn_interval(t_s)
        gone = self._forget(t_s)
        ordered = sorted(faces, key=lambda f: (f.box, f.score, f.landmarks))
        sightings = []
        matched = self._match(t_s, ordered)
        window_s = max(CONFIRM_WINDOW_S, USUAL_GAPS * self._interval_s)
        for index, face in enumerate(ordered):
            track = matched.get(index) or self._begin(face, t_s)
            is_sure = face.score >= self._sure_score and not is_overlaid(face, ordered)
            track.see(face, t_s, is_sure, window_s)
            if track.person is None and track.is_confirmed:
                self._persons += 1
                track.person = self._persons
            if track.person is not None:
                sightings.append(Sighting(track.person, face, track.shorter_px))
        return Tracked(tuple(sorted(sightings, key=lambda s: s.person)), gone)

    def finish(self) -> tuple[Gone, ...]:
        """The source ended: everyone still followed is gone."""
        return self._end(self._tracks, [])

    def _learn_interval(self, t_s: float) -> None:
        """A slow camera, or a device that is hot and slow, must not make people vanish between two frames."""
        if self._last_s is not None:
            elapsed = min(t_s - self._last_s, 10.0)
            self._interval_s = (
                elapsed if not self._interval_s else self._interval_s + 0.2 * (elapsed - self._interval_s)
            )
        self._last_s = t_s

    def _match(self, t_s: float, faces: Sequence[Face]) -> dict[int, _Track]:
        """Cheapest pairs first; persons before what is not yet one, so that a flicker never takes a person's face."""
        glimpse_s = max(GLIMPSE_S, GLIMPSE_GAPS * self._interval_s)
        pairs = [
            (track.person is None, track.cost(face, t_s, glimpse_s), index, number)
            for index, face in enumerate(faces)
            for number, track in enumerate(self._tracks)
        ]
        matched: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, cost, index, number in sorted(pairs):
            if cost < math.inf and index not in matched and number not in taken:
                matched[index] = self._tracks[number]
                taken.add(number)
        return matched

    def _begin(self, face: Face, t_s: float) -> _Track:
        x, y = face.box.center
        mark = next((m for m in self._marks if m.fits(face)), None)
        track = _Track(x, y, face_size(face), face.box.shorter_px, t_s, t_s, mark, home=(x, y))
        self._tracks.append(track)
        return track

    def _forget(self, t_s: float) -> tuple[Gone, ...]:
        usual_s = USUAL_GAPS * self._interval_s
        person_s, nobody_s = max(self._return_s, usual_s), max(min(self._return_s, COAST_S), usual_s)
        lost = [t for t in self._tracks if t_s - t.last_s > (nobody_s if t.person is None else person_s)]
        self._remember(lost, t_s)
        return self._end(lost, [t for t in self._tracks if t not in lost])

    def _remember(self, lost: list[_Track], t_s: float) -> None:
        """Marks of what went without ever having moved; old ones fade, and a thing found again has one mark."""
        new = [t for t in lost if t.is_still and t.person is not None and t.mark is None]
        found_again = {id(t.mark): t.mark for t in lost if t.mark is not None and t.extent <= STILL_EXTENT}
        kept = [m for m in self._marks if id(m) not in found_again and t_s - m.last_s <= STILL_MEMORY_S]
        renewed = [replace(m, last_s=t_s) for m in found_again.values()]
        self._marks = kept + renewed + [_Mark(t.x, t.y, t.size, t.last_s, t.appearance) for t in new]

    def _end(self, lost: list[_Track], kept: list[_Track]) -> tuple[Gone, ...]:
        self._tracks = kept
        gone = [Gone(t.person, t.last_s - t.first_s) for t in lost if t.person is not None]
        return tuple(sorted(gone, key=lambda g: g.person))


def strangeness(known: Appearance | None, face: Face) -> float:
    """How much hair and clothes speak against this being the same person (for it, where negative), in face sizes."""
    differs = difference(known, face.appearance)
    return 0.0 if differs is None else (differs - COLOUR_USUAL) / COLOUR_PER_SIZE


def face_size(face: Face) -> float:
    """One length for a box, pixels: steadier than either side when a head turns."""
    return math.sqrt(max(face.box.width * face.box.height, 1.0))


def is_overlaid(face: Face, others: Sequence[Face]) -> bool:
    """Does a better face of the frame lie over a part of this one? Hair and hands around a face are taken for one."""
    own = face.box.width * face.box.height
    return any(other.score > face.score and overlap_px(face, other) > OVERLAID_SHARE * own for other in others)


def overlap_px(one: Face, other: Face) -> float:
    """Area that two boxes share, square pixels."""
    a, b = one.box, other.box
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0.0, across) * max(0.0, down)
