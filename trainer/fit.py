"""The training loop, plain: settings, data, network, steps, checkpoints.

A run folder holds ``run.json`` (settings and the figures of every epoch), ``last.npz`` (weights, their running average,
the optimizer's state) and ``best.weights.h5`` (the averaged weights of the best epoch on held-out groups).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError, DiskError, InputMissing
from edge.records import ImageU8
from trainer import network
from trainer.draws import Batch, Feed, Recipe, draw, make_batch, plain_crops
from trainer.manifest import HELD_OUT, LABELS, TRAIN, FaceRow, read_manifest, refuse_straddling
from trainer.metrics import Calibration, Score, probabilities, score

RUN: Final = "run.json"
LAST: Final = "last.npz"
BEST: Final = "best.weights.h5"
RUN_VERSION: Final = 1
NORM_BATCHES: Final = 16  # of 64 training faces, to measure BatchNorm statistics on


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob of a run. input_px: side of the crop. margin: share of the box's longer side added on every side.

    draws: faces drawn per epoch. average: decay of the running average of the weights, per step.
    """

    data: str
    weights: str | None
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
        """What picks the best epoch: balanced accuracy first, a badly worn mask called mask at an eighth of its cost."""
        worn = 0.0 if math.isnan(self.incorrect_called_mask) else self.incorrect_called_mask
        return self.balanced - worn / 8


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder's ``run.json``."""

    settings: Settings
    figures: tuple[EpochFigures, ...] = field(default=())

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
        return Run(Settings(**held["settings"]), tuple(EpochFigures(**f) for f in held["figures"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is broken ({error}): train again into a new folder") from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside and rename, so that a cut or a full disk leaves the old file whole."""
    beside = path.with_name(f"new.{path.name}")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DiskError(f"cannot write {path}: {error.strerror or error}") from error


class Learner:
    """A network with its optimizer and the running average of its weights."""

    def __init__(self, settings: Settings, model: network.Model) -> None:
        import keras
        import tensorflow as tf

        self.model = model
        self._features, self._dropout, self._head = network.features_and_head(model)
        self._variables = model.trainable_variables
        self.average = [np.array(v) for v in self._variables]
        self._keep = settings.average
        self.step = 0
        total = settings.steps * settings.epochs
        schedule = _Cosine.make(settings.rate, round(settings.warmup * total), total)
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.decay, clipnorm=5.0)
        self._optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self._optimizer.build(self._variables)
        self._loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.smoothing)
        self._learn = tf.function(self._step, jit_compile=False)

    def _step(self, images: Any, labels: Any) -> Any:
        import tensorflow as tf

        inputs = tf.cast(images, tf.float32) / 127.5 - 1.0
        with tf.GradientTape() as tape:
            features = self._features(inputs, training=False)
            logits = self._head(self._dropout(features, training=True))
            loss = self._loss(tf.one_hot(labels, len(LABELS)), logits)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, self._variables), self._variables, strict=True))
        return loss

    def learn(self, batch: Batch) -> float:
        """One step; returns the loss."""
        loss = float(self._learn(batch.images_rgb, batch.labels))
        self.step += 1
        keep = min(self._keep, (1 + self.step) / (10 + self.step))  # early on the average follows closely
        for held, variable in zip(self.average, self._variables, strict=True):
            held += (1 - keep) * (variable.numpy() - held)
        return loss

    def swap(self) -> None:
        """Exchange the weights in use and their running average."""
        for i, variable in enumerate(self._variables):
            used = np.array(variable)
            variable.assign(self.average[i])
            self.average[i] = used

    def save(self, path: Path, epoch: int) -> None:
        """Everything that going on needs, under names that say what it is."""
        held = {f"w{i}": np.array(v) for i, v in enumerate(self.model.variables)}
        held |= {f"a{i}": v for i, v in enumerate(self.average)}
        held |= {f"o{i}": np.array(v) for i, v in enumerate(self._optimizer.variables)}
        replace_file(path, lambda beside: _save_npz(beside, epoch=np.array(epoch), step=np.array(self.step), **held))

    def load(self, path: Path) -> int:
        """Go on from ``save``; returns the epochs that are done."""
        with np.load(path) as held:
            for i, v in enumerate(self.model.variables):
                v.assign(held[f"w{i}"])
            for i, v in enumerate(self._optimizer.variables):
                v.assign(held[f"o{i}"])
            self.average = [held[f"a{i}"] for i in range(len(self.average))]
            self.step = int(held["step"])
            return int(held["epoch"])


def _save_npz(path: Path, **arrays: Any) -> None:
    with path.open("wb") as f:
        np.savez(f, **arrays)


class _Cosine:
    """Learning rate: a linear rise, then half a cosine down to a hundredth."""

    @staticmethod
    def make(rate: float, warmup: int, total: int) -> Any:
        import keras

        return keras.optimizers.schedules.CosineDecay(
            rate / 20, max(1, total - warmup), alpha=0.01 * 20 / 20, warmup_target=rate, warmup_steps=max(1, warmup)
        )


def logits_of(model: network.Model, crops: ImageU8, batch: int = 64) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n, 3) logits of uint8 RGB crops by the float network."""
    parts = [np.asarray(model(network.scale(crops[i : i + batch]), training=False)) for i in range(0, len(crops), batch)]
    return np.concatenate(parts).astype(np.float64)


def judge(learner: Learner, crops: ImageU8, rows: Sequence[FaceRow]) -> Score:
    """The averaged weights on held-out crops, uncalibrated, threshold one half."""
    if not rows:
        return Score(*(float("nan"),) * 4)
    learner.swap()
    p = probabilities(logits_of(learner.model, crops), Calibration())
    learner.swap()
    return score(p[:, 0], np.array([r.label_index for r in rows]))


def prepare_network(settings: Settings, rows: Sequence[FaceRow]) -> network.Model:
    """A network whose BatchNorm statistics are those of our training faces."""
    weights = None if settings.weights is None else settings.weights
    where = weights if weights in (None, "imagenet") else Path(weights)
    model = network.build(settings.input_px, settings.alpha, where, settings.dropout, settings.seed)
    recipe = Recipe(Path(settings.data), settings.margin, settings.input_px, settings.seed)
    picked = draw(rows, min(NORM_BATCHES * 64, max(64, len(rows))), settings.seed, 0)
    batches = (
        network.scale(make_batch([rows[i] for i in picked[at : at + 64]], recipe, 0, at).images_rgb)
        for at in range(0, len(picked), 64)
    )
    network.restate_norms(model, batches)
    return model


def train(settings: Settings, folder: Path, *, resume: bool, tell: Callable[[str], None], workers: int = 1) -> Run:
    """Train into a run folder; ``tell`` gets one line per epoch. KeyboardInterrupt leaves the last whole epoch."""
    data = Path(settings.data)
    rows = read_manifest(data)
    refuse_straddling(rows)
    training, held_out = ([r for r in rows if r.split == s] for s in (TRAIN, HELD_OUT))
    learner = Learner(settings, prepare_network(settings, training))
    run, done = Run(settings), 0
    if resume and (folder / LAST).is_file():
        run, done = replace(read_run(folder), settings=settings), learner.load(folder / LAST)
    crops = plain_crops(data, held_out, settings.margin, settings.input_px) if held_out else np.zeros((0,), np.uint8)
    recipe = Recipe(data, settings.margin, settings.input_px, settings.seed)
    with Feed(training, recipe, settings.batch, workers) as feed:
        for epoch in range(done + 1, settings.epochs + 1):
            run = _one_epoch(learner, feed, run, epoch, crops, held_out)
            _keep(learner, run, folder, epoch)
            tell(describe(run.figures[-1], settings.epochs))
    return run


def _one_epoch(
    learner: Learner, feed: Feed, run: Run, epoch: int, crops: ImageU8, held_out: Sequence[FaceRow]
) -> Run:
    start = time.monotonic()
    losses = [learner.learn(batch) for batch in feed.epoch(run.settings.draws, epoch)]
    s = judge(learner, crops, held_out)
    figures = EpochFigures(epoch, float(np.mean(losses)), *asdict(s).values(), seconds=time.monotonic() - start)
    return replace(run, figures=(*run.figures, figures))


def _keep(learner: Learner, run: Run, folder: Path, epoch: int) -> None:
    """The averaged weights where this epoch is the best so far, then the checkpoint, then the figures."""
    if run.best is run.figures[-1] or math.isnan(run.figures[-1].merit):
        learner.swap()
        beside = folder / f"new.{BEST}"
        learner.model.save_weights(beside)
        os.replace(beside, folder / BEST)
        learner.swap()
    learner.save(folder / LAST, epoch)
    write_run(folder, run)


def describe(figures: EpochFigures, epochs: int) -> str:
    """One line for a person at a terminal or in a log."""
    f = figures
    return (
        f"epoch {f.epoch}/{epochs}: loss {f.loss:.3f}, held out: balanced {f.balanced:.2%} "
        f"(mask {f.mask_right:.2%}, bare {f.bare_right:.2%}), badly worn called mask {f.incorrect_called_mask:.1%}; {f.seconds:.0f} s"
    )
