"""A run folder and its record.

It holds ``run.json`` (settings and the figures of every epoch), ``last.npz`` (weights, their running average, the
optimizer's state) and ``best.weights.h5`` (the averaged weights of the best epoch on held-out groups).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge.errors import DataError, InputMissing, OutputError
from trainer.faces.manifest import LABELS
from trainer.whole import replace_file

RUN: Final = "run.json"
LAST: Final = "last.npz"
BEST: Final = "best.weights.h5"
RUN_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob of a run. input_px: side of the crop. margin: share of the box's longer side added on every side.

    weights: a ``.weights.h5`` file, ``imagenet``, or None for random.
    start_from: a run whose best weights are taken instead.
    draws: faces drawn per epoch. average: decay of the running average of the weights, per step.
    """

    data: str
    weights: str | None
    start_from: str | None = None
    input_px: int = 128
    alpha: float = 1.0
    margin: float = 0.2
    epochs: int = 12
    draws: int = 6000
    batch: int = 48
    rate: float = 4e-4
    warmup: float = 0.05
    decay: float = 0.02
    smoothing: float = 0.05
    dropout: float = 0.2
    average: float = 0.995
    transplants: bool = False
    seed: int = 1

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return max(1, self.draws // self.batch)


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """What one epoch ended with; shares 0-1, seconds of wall time."""

    epoch: int
    loss: float
    balanced: float
    mask_right: float
    bare_right: float
    incorrect_called_mask: float
    seconds: float

    @property
    def merit(self) -> float:
        """What picks the best epoch: balanced accuracy first, badly worn called mask at an eighth of its cost."""
        worn = 0.0 if math.isnan(self.incorrect_called_mask) else self.incorrect_called_mask
        return self.balanced - worn / 8


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder's ``run.json``. earlier: epochs of the runs it started from, oldest first."""

    settings: Settings
    figures: tuple[EpochFigures, ...] = ()
    earlier: tuple[int, ...] = ()

    @property
    def best(self) -> EpochFigures | None:
        return max(self.figures, key=lambda f: f.merit, default=None)


def write_run(folder: Path, run: Run) -> None:
    text = json.dumps({"version": RUN_VERSION, "labels": LABELS, **asdict(run)}, indent=1)
    replace_file(folder / RUN, lambda path: path.write_text(text + "\n"))


def read_run(folder: Path) -> Run:
    """Raises InputMissing or DataError where the folder is no run of ours."""
    path = folder / RUN
    if not path.is_file():
        raise InputMissing(f"no {RUN} in {folder}: a run folder is made by `trainer train`")
    try:
        held = json.loads(path.read_text())
        if held["version"] != RUN_VERSION:
            raise DataError(f"{path} has version {held['version']}, this trainer reads {RUN_VERSION}: train again")
        figures = tuple(EpochFigures(**f) for f in held["figures"])
        return Run(Settings(**held["settings"]), figures, tuple(held["earlier"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is broken ({error}): train again into a new folder") from error


def refuse_taken(folder: Path, resume: bool) -> None:
    """A run folder is begun once, and gone on with only when asked."""
    if resume:
        read_run(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty: go on with --resume, or choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}") from error


def begin(settings: Settings) -> Run:
    """A new run's record."""
    earlier: tuple[int, ...] = ()
    if settings.start_from:
        parent = read_run(Path(settings.start_from))
        earlier = (*parent.earlier, len(parent.figures))
    return Run(settings, (), earlier)


def describe(figures: EpochFigures, epochs: int) -> str:
    """One line for a person at a terminal or in a log."""
    f = figures
    return (
        f"epoch {f.epoch}/{epochs}: loss {f.loss:.3f}, held out: balanced {f.balanced:.2%} "
        f"(mask {f.mask_right:.2%}, bare {f.bare_right:.2%}), "
        f"badly worn called mask {f.incorrect_called_mask:.1%}; {f.seconds:.0f} s"
    )
