"""What every recipe says of itself, so that one loop trains them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from trainer.faces.manifest import FaceRow
from trainer.learn.draws import Batch
from trainer.learn.learner import Lesson
from trainer.learn.network import Model
from trainer.learn.runs import Run, Settings


class Batches(AbstractContextManager["Batches"], Protocol):
    """Gives an epoch's batches: this worker's shares of them."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of epoch ``epoch``, counted from 1, the same in every run with one seed."""
        ...

    def steps(self) -> int:
        """How many they are."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe.

    preset: settings in which it differs from ``Settings``' own. fixed: settings that are part of the recipe.
    selects: whether a score on judged faces picks its best epoch and stops it.
    begin: a network to train (with its starting weights), given the training faces.
    bare: the same network with random weights, to load a run's weights into.
    judged: from the network as trained to one that takes crops in -1..1 and gives three logits.
    lesson: how it is trained.
    feed: training faces, worker processes, (this worker, workers) to batches.
    is_over: whether training has nothing more to do before the last epoch.
    has_head_phase: whether a head is fitted to cached features first.
    two_class: whether it knows masked and bare only, a badly worn mask being bare to it.
    """

    preset: Mapping[str, Any]
    fixed: frozenset[str]
    selects: bool
    begin: Callable[[Settings, Sequence[FaceRow]], Model]
    bare: Callable[[Settings], Model]
    judged: Callable[[Model], Model]
    lesson: Callable[[Settings, Model, int], Lesson]
    feed: Callable[[Settings, Sequence[FaceRow], int, tuple[int, int]], Batches]
    is_over: Callable[[Run], str | None]
    has_head_phase: bool = False
    two_class: bool = False
