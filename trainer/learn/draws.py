"""Which faces an epoch sees: drawn anew each time, balanced over classes and, within a class, over sources.

A source counts by the square root of its size, so that a large noisy one does not drown a small true one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import INCORRECT, MASK, NO_MASK, Box, ImageU8
from trainer.faces.crops import read_context
from trainer.faces.manifest import FaceRow
from trainer.learn import drawn_masks, transplant
from trainer.learn.augment import Rng, augmented_crop
from trainer.learn.interrupts import deaf_to_interrupts

CLASS_SHARE: Final = {MASK: 0.38, NO_MASK: 0.37, INCORRECT: 0.25}
HARD_BARE: Final = frozenset(
    (
        "beard",
        "hand_at_face",
        "object_at_mouth",
        "scarf",
        "sunglasses",
        "helmet_or_goggles",
        "face_paint",
        "paint",
        "microphone",
        "costume_mask",
        "helmet",
    )
)
HARD_FACTOR: Final = 2.0  # bare faces that are taken for masked ones come twice as often
AT_MOUTH: Final = frozenset(("hand_at_face", "object_at_mouth"))
AT_MOUTH_FACTOR: Final = 5.0  # of them the hardest, and the fewest
DOUBTFUL: Final = frozenset(("type_ng", "pasted", "doubtful"))
DOUBTFUL_FACTOR: Final = 0.4
TRANSPLANTED: Final = ("transplants", "both")  # values of ``pasted``
DRAWN: Final = ("drawn", "both")
Made = tuple[ImageU8, Box, Sequence[tuple[float, float]]]  # a picture, its face's box, landmarks or none
AHEAD: Final = 4  # batches made ahead of the network, or two for each worker process


@dataclass(frozen=True, slots=True)
class Batch:
    """images_rgb: (n, size, size, 3) uint8. labels: (n,) int64, indices into ``LABELS``."""

    images_rgb: ImageU8
    labels: npt.NDArray[np.int64]


def weights(rows: Sequence[FaceRow], class_share: Mapping[str, float] = CLASS_SHARE) -> npt.NDArray[np.float64]:
    """Chance of each face to be drawn; they sum to 1. Classes that are not there leave their share to the others."""
    own = np.array([_worth(row.flags) for row in rows])
    sources = Counter((r.label, r.source) for r in rows)
    by_source: Counter[tuple[str, str]] = Counter()
    for row, worth in zip(rows, own, strict=True):
        by_source[row.label, row.source] += worth
    source_share = {key: np.sqrt(n) for key, n in sources.items()}
    totals = Counter[str]()
    for (label, _), share in source_share.items():
        totals[label] += share
    chance = np.array(
        [
            class_share[r.label] * source_share[r.label, r.source] / totals[r.label] * w / by_source[r.label, r.source]
            for r, w in zip(rows, own, strict=True)
        ]
    )
    normal: npt.NDArray[np.float64] = chance / chance.sum()
    return normal


def _worth(flags: str) -> float:
    words = set(flags.split())
    if words & DOUBTFUL:
        return DOUBTFUL_FACTOR
    if words & AT_MOUTH:
        return AT_MOUTH_FACTOR
    return HARD_FACTOR if words & HARD_BARE else 1.0


def draw(rows: Sequence[FaceRow], count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices of the faces of one epoch. Systematic: each face comes within one of its expected number of times."""
    rng = np.random.default_rng((seed, epoch))
    points = (np.arange(count) + rng.random()) / count
    order = rng.permutation(len(rows))
    picked = order[np.minimum(np.searchsorted(np.cumsum(weights(rows)[order]), points), len(rows) - 1)]
    return rng.permutation(picked).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How batches are made. pasted: ``off``, ``transplants`` (masks of real faces), ``drawn`` or ``both``."""

    folder: Path
    margin: float
    size_px: int
    seed: int
    pasted: str = "off"


class Maker:
    """Makes batches of varied crops; the same call gives the same pixels in every process.

    rows: all training faces. Lenders and takers of transplants come from them and nowhere else.
    """

    def __init__(self, rows: Sequence[FaceRow], recipe: Recipe) -> None:
        self._rows = rows
        self._recipe = recipe
        self._donors = transplant.donors(rows) if recipe.pasted != "off" else []

    def batch(self, indices: Sequence[int], epoch: int, start: int) -> Batch:
        """indices: of the faces drawn from place ``start`` of this epoch on."""
        images = [self._one(self._rows[i], epoch, place) for place, i in enumerate(indices, start)]
        return Batch(np.stack(images), np.array([self._rows[i].label_index for i in indices]))

    def _one(self, row: FaceRow, epoch: int, place: int) -> ImageU8:
        rng = np.random.default_rng((self._recipe.seed, epoch, place))
        label = row.label
        made = self._transplanted(label, rng) or self._drawn_on(label, rng)
        picture, box, points = made or (read_context(self._recipe.folder, row), row.box, _points_of_cloth(row))
        margin, size_px = self._recipe.margin, self._recipe.size_px
        return augmented_crop(picture, box, label, rng, margin=margin, size_px=size_px, points=points)

    def _transplanted(self, label: str, rng: Rng) -> Made | None:
        """At times: another face whose lower half is that of a third."""
        if self._recipe.pasted not in TRANSPLANTED or rng.random() >= transplant.SHARE[label]:
            return None
        pair = transplant.pick(self._donors, label, rng)
        if pair is None:
            return None
        taker, lender = pair[0].row, pair[1].row
        pictures = [read_context(self._recipe.folder, row) for row in (taker, lender)]
        made = transplant.transplant(pictures[0], taker, pictures[1], lender, label, rng=rng)
        return made, taker.box, ()

    def _drawn_on(self, label: str, rng: Rng) -> Made | None:
        """At times: a bare face with a mask drawn on it."""
        if self._recipe.pasted not in DRAWN or rng.random() >= drawn_masks.SHARE.get(label, 0.0):
            return None
        bare = [d.row for d in self._donors if not d.masked]
        if not bare:
            return None
        row = bare[int(rng.integers(len(bare)))]
        picture = read_context(self._recipe.folder, row)
        if not drawn_masks.has_room(picture, row.points):
            return None
        return drawn_masks.draw_mask(picture, row.points, row.box, label, rng), row.box, ()


def _points_of_cloth(row: FaceRow) -> Sequence[tuple[float, float]]:
    """Landmarks of a face whose mask may be dyed; none where the publisher's flags say that it is something else."""
    return () if set(row.flags.split()) & transplant.UNFIT else row.points


_maker: Maker | None = None  # one per worker process


def _start_worker(rows: Sequence[FaceRow], recipe: Recipe) -> None:
    global _maker  # noqa: PLW0603 - a process pool hands its workers nothing else
    cv2.setNumThreads(1)
    _maker = Maker(rows, recipe)


def _batch_in_worker(indices: Sequence[int], epoch: int, start: int) -> Batch:
    assert _maker is not None  # set by _start_worker
    return _maker.batch(indices, epoch, start)


class Feed:
    """Makes batches ahead in worker processes. A context manager; ``epoch`` yields batches in order.

    draws: faces per epoch. shard: which of several machines this is and how many there are; each makes its own part of
    every batch, and all parts together are the batch that one machine would make.
    """

    def __init__(
        self,
        rows: Sequence[FaceRow],
        recipe: Recipe,
        batch_size: int,
        draws: int,
        *,
        workers: int = 1,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self._rows = rows
        self._seed = recipe.seed
        self._batch_size = batch_size
        self._draws = draws
        self._shard = shard
        self._ahead = max(AHEAD, 2 * workers)
        with deaf_to_interrupts():
            self._pool = ProcessPoolExecutor(
                workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(rows, recipe)
            )
            for _ in range(workers):  # a pool starts a process per task that finds none idle
                self._pool.submit(int)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def steps(self) -> int:
        return max(1, self._draws // self._batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The draws of an epoch as batches of one size; a rest that does not fill one is left out."""
        return self.drawn(self._draws, epoch)

    def drawn(self, count: int, epoch: int) -> Iterator[Batch]:
        """``count`` draws in the same way."""
        places = draw(self._rows, count, self._seed, epoch)
        waiting: deque[Future[Batch]] = deque()
        for start in range(0, max(count - self._batch_size, 0) + 1, self._batch_size):
            first, end = self._own(start, min(start + self._batch_size, count))
            indices = [int(i) for i in places[first:end]]
            waiting.append(self._pool.submit(_batch_in_worker, indices, epoch, first))
            if len(waiting) > self._ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _own(self, start: int, end: int) -> tuple[int, int]:
        index, machines = self._shard
        size = (end - start) // machines
        return (start + index * size, start + (index + 1) * size) if machines > 1 else (start, end)
