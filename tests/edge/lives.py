"""Small builders for scenes of numbers: faces without pixels, looks without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edge.records import Box, Face, Look, Reading
from edge.track import Gone, Tracker

FPS = 10.0


def face(x: float, y: float = 100.0, size: float = 60.0, score: float = 0.9) -> Face:
    """A frontal face whose middle is at x, y."""
    box = Box(x - size / 2, y - size / 2, size, size)
    eyes = ((x - size / 5, y - size / 8), (x + size / 5, y - size / 8))
    mouth = ((x - size / 6, y + size / 4), (x + size / 6, y + size / 4))
    return Face(box, score, (*eyes, (x, y + size / 12), *mouth))


def look(t_s: float, p_mask: float, quality: float = 1.0, person: int = 1, incorrect: float = 0.0) -> Look:
    return Look(person, t_s, Reading(p_mask, incorrect), quality)


def looks(p_masks: Iterable[float], start_s: float = 0.0, person: int = 1, quality: float = 1.0) -> list[Look]:
    return [look(start_s + i / FPS, p, quality, person) for i, p in enumerate(p_masks)]


def walk(
    tracker: Tracker, scene: Sequence[Sequence[Face]], fps: float = FPS
) -> tuple[list[dict[int, Face]], list[Gone]]:
    """Play a scene, one list of faces a frame: who was seen in each frame, and who had gone before the end."""
    seen: list[dict[int, Face]] = []
    gone: list[Gone] = []
    for index, faces in enumerate(scene):
        tracked = tracker.update(index / fps, faces)
        seen.append({s.person: s.face for s in tracked.sightings})
        gone += tracked.gone
    return seen, gone


def persons(seen: Iterable[dict[int, Face]]) -> set[int]:
    return {person for frame in seen for person in frame}


def moving(frames: int, place: Callable[[int], tuple[float, ...]]) -> list[list[Face]]:
    """One face a frame, at ``place(frame)`` = x[, y[, size]]."""
    return [[face(*place(i))] for i in range(frames)]
