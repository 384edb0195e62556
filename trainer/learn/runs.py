"""A run folder and its record.

It holds ``run.json``, ``last.npz`` (weights, their running average, the optimizer's state, the figures so far) and
``best.weights.h5`` (the weights that are judged and shipped). After the head and after every epoch ``last.npz`` is
written first: the other two follow from it, and ``--resume`` makes them anew where a kill came between.
``run.json``, version 2, is one object:

* ``version`` 2; ``labels`` the model's labels in index order.
* ``settings``: every knob, as in ``Settings``; ``recipe`` is ``mobilenet_v2``, ``reference`` or ``baseline_cnn``.
* ``division``: who took part, as in ``Division``: counts of faces, the unseen and the left-out sources.
* ``figures``: one object per epoch in the order of training, as in ``EpochFigures``. An epoch has a ``phase``: ``head``
  (base frozen, cached features; its epochs take well under a second) or ``whole`` (all that the recipe trains).
  Epochs are counted from 1 within a phase. What could not be measured (a class that is not there) is ``null``.
* ``timings``: wall seconds by what they were spent on: ``start`` (weights loaded, BatchNorm statistics measured on
  training faces), ``features`` (of the frozen base, once), ``head``, ``whole`` (training and judging). ``features`` and
  ``head`` are absent where a recipe has no such phase. Phase one is the first three together.
* ``chosen``: place in ``figures`` of the epoch whose weights are in ``best.weights.h5``, or ``null`` before the first.
* ``earlier``: epochs of the runs that this one started from, oldest first.
* ``manifest_sha256``: of the prepared set's ``manifest.csv``; empty where it is not known.
* ``mean_of``: the run folders whose weights' mean this is (`trainer average`); then it has one row of figures, and loss
  and accuracy are null. Absent or empty for a run that was trained.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge.errors import DataError, InputMissing, OutputError
from trainer.faces.labels import LABELS
from trainer.faces.manifest import manifest_sha256
from trainer.whole import replace_file

RUN: Final = "run.json"
LAST: Final = "last.npz"
BEST: Final = "best.weights.h5"
RUN_VERSION: Final = 2
HEAD: Final = "head"
WHOLE: Final = "whole"
PROGRESS: Final = ("figures", "timings", "chosen")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob of a run. input_px: side of the crop. margin: share of the box's longer side added on every side.

    data: the prepared set's folder, absolute, so that a run goes on from wherever it is called.
    weights: a ``.weights.h5`` file, ``imagenet``, or None for random.
    start_from: a run whose best weights are taken instead; ``weights`` is then what that run began with.
    unseen: sources that choose the best epoch and are not trained on; ``("auto",)`` or ``("none",)``.
    leave_out: sources whose faces take no part at all.
    draws: faces drawn per epoch. average: decay of the running average of the weights, per step.
    strategy: ``one`` device, ``mirrored`` over those of this machine, ``multiworker`` over machines.
    """

    data: str
    weights: str | None
    recipe: str = "mobilenet_v2"
    start_from: str | None = None
    unseen: tuple[str, ...] = ("auto",)
    leave_out: tuple[str, ...] = ()
    input_px: int = 128
    alpha: float = 1.0
    margin: float = 0.2
    epochs: int = 24
    draws: int = 6000
    batch: int = 48
    rate: float = 4e-4
    warmup: float = 0.05
    decay: float = 0.02
    smoothing: float = 0.05
    dropout: float = 0.2
    average: float = 0.998
    pasted: str = "off"
    strategy: str = "one"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Division:
    """Which faces do what.

    trained, judged: numbers of faces. judged_on: ``unseen``, ``held_out`` or ``nothing``.
    selecting: whether their score chooses the best epoch. kin: training faces set aside because their group (a person,
    a scene) also occurs in an unseen or left-out source.
    """

    trained: int = 0
    judged: int = 0
    judged_on: str = "nothing"
    selecting: bool = False
    unseen: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    kin: int = 0


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """What one epoch ended with; shares 0-1, NaN where not measured; seconds of wall time.

    loss, accuracy: means over the epoch's training steps, as the faces were varied. rate: learning rate at its end.
    judged_loss: mean cross-entropy of the judged faces; the next four are of the judged faces at threshold one half.
    """

    phase: str
    epoch: int
    loss: float
    accuracy: float
    judged_loss: float
    balanced: float
    mask_right: float
    bare_right: float
    incorrect_called_mask: float
    rate: float
    seconds: float

    @property
    def merit(self) -> float:
        """What picks the best epoch: balanced accuracy first, badly worn called mask at an eighth of its cost."""
        worn = 0.0 if math.isnan(self.incorrect_called_mask) else self.incorrect_called_mask
        return self.balanced - worn / 8


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder's ``run.json``; the module's docstring tells each field."""

    settings: Settings
    division: Division = field(default_factory=Division)
    figures: tuple[EpochFigures, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    chosen: int | None = None
    earlier: tuple[int, ...] = ()
    manifest_sha256: str = ""
    mean_of: tuple[str, ...] = ()

    @property
    def best(self) -> EpochFigures | None:
        """Figures of the epoch whose weights are kept."""
        return None if self.chosen is None else self.figures[self.chosen]

    @property
    def whole(self) -> tuple[EpochFigures, ...]:
        """Figures of the main phase's epochs."""
        return tuple(f for f in self.figures if f.phase == WHOLE)

    def after(self, figures: EpochFigures) -> Run:
        """With one more epoch: it is the chosen one where its score is the best so far, or where none selects."""
        held = (*self.figures, figures)
        better = self.best is None or not self.division.selecting or not figures.merit <= self.best.merit
        return replace(self, figures=held, chosen=len(held) - 1 if better else self.chosen)

    @property
    def chose_last(self) -> bool:
        """Whether the weights to keep are those of the last epoch."""
        return bool(self.figures) and self.chosen == len(self.figures) - 1

    def spent(self, what: str, seconds: float) -> Run:
        """With some more wall time on one thing."""
        timings = {**self.timings, what: round(self.timings.get(what, 0.0) + seconds, 1)}
        return replace(self, timings=timings)


def progress_text(run: Run) -> str:
    """What a checkpoint holds of its run: how far it came. The rest of ``run.json`` does not change."""
    held = asdict(run)
    return json.dumps(_without_nan({name: held[name] for name in PROGRESS}), allow_nan=False)


def with_progress(run: Run, text: str) -> Run:
    """``run`` as far as ``progress_text`` tells."""
    held = json.loads(text)
    return replace(run, figures=_figures(held), timings=held["timings"], chosen=held["chosen"])


def write_run(folder: Path, run: Run) -> None:
    held = _without_nan({"version": RUN_VERSION, "labels": LABELS, **asdict(run)})
    text = json.dumps(held, indent=1, allow_nan=False)
    replace_file(folder / RUN, lambda path: path.write_text(text + "\n"))


def _without_nan(value: Any) -> Any:
    """Strict JSON knows no NaN; null stands for it."""
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def read_run(folder: Path) -> Run:
    """Raises InputMissing or DataError where the folder is no run of ours."""
    path = folder / RUN
    if not path.is_file():
        raise InputMissing(f"no {RUN} in {folder}: a run folder is made by `trainer train`")
    try:
        held = json.loads(path.read_text())
        if held["version"] != RUN_VERSION:
            raise DataError(f"{path} has version {held['version']}, this trainer reads {RUN_VERSION}: train again")
        return Run(
            settings=Settings(**_tuples(held["settings"])),
            division=Division(**_tuples(held["division"])),
            figures=_figures(held),
            timings=held["timings"],
            chosen=held["chosen"],
            earlier=tuple(held["earlier"]),
            manifest_sha256=held.get("manifest_sha256", ""),
            mean_of=tuple(held.get("mean_of", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is broken ({error}): train again into a new folder") from error


def _figures(held: Mapping[str, Any]) -> tuple[EpochFigures, ...]:
    return tuple(EpochFigures(**_nan(f)) for f in held["figures"])


def _tuples(held: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in held.items()}


def _nan(held: dict[str, Any]) -> dict[str, Any]:
    return {k: math.nan if v is None else v for k, v in held.items()}


def refuse_other_set(run: Run, data: Path) -> None:
    """Raises DataError for a set other than the run's, where the run tells: it may have trained on what is held out."""
    if run.manifest_sha256 and run.manifest_sha256 != manifest_sha256(data):
        raise DataError(
            f"{data} is not the set of this run, or was prepared anew: its held-out faces may have been trained on; "
            f"name the run's own set, or train again on {data} into a new folder"
        )


def refuse_taken(folder: Path) -> None:
    """A run folder is begun once. Nothing is made yet: what is asked for may not be possible."""
    there = next(f for f in (folder.absolute(), *folder.absolute().parents) if f.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"cannot make {folder}: {there} is no folder that can be written to")
    if there == folder.absolute() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty: go on with --resume, or choose another folder with --out")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}") from error


def begin(settings: Settings) -> Run:
    """A new run's record. One that starts from another had that one's weights at its beginning."""
    if not settings.start_from:
        return Run(settings)
    parent = read_run(Path(settings.start_from))
    return Run(replace(settings, weights=parent.settings.weights), earlier=(*parent.earlier, len(parent.whole)))


def refuse_seen(parent: Run, division: Division, data: Path) -> None:
    """Raises DataError where a run that starts from ``parent`` would be judged on faces that ``parent`` trained on."""
    refuse_other_set(parent, data)
    apart = {*parent.division.unseen, *parent.division.leave_out}
    seen = sorted({*division.unseen, *division.leave_out} - apart)
    if seen:
        only = f"only {', '.join(sorted(apart))} can" if apart else "nothing can (--unseen none)"
        raise DataError(
            f"the run of --start-from was trained on {', '.join(seen)}, which would be unseen here: "
            f"{only} be kept apart with --unseen or --leave-out; or start from --weights"
        )


def describe(figures: EpochFigures, epochs: int) -> str:
    """One line for a person at a terminal or in a log. epochs: of the whole run, for those of its main phase."""
    f = figures
    when = f"head, {f.epoch} epochs" if f.phase == HEAD else f"epoch {f.epoch}/{epochs}"
    judged = "" if math.isnan(f.balanced) else f", judged faces: balanced {f.balanced:.2%}"
    judged += "" if math.isnan(f.balanced) else f" (mask {f.mask_right:.2%}, bare {f.bare_right:.2%})"
    worn = f.incorrect_called_mask
    judged += "" if math.isnan(worn) else f", badly worn called mask {worn:.1%}"
    if math.isnan(f.loss):
        return f"mean of runs{judged}"
    return f"{when}: loss {f.loss:.3f}{judged}; {f.seconds:.0f} s"
