"""The training loop, plain: data, network, steps, checkpoints. What a run folder holds is told in ``runs``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError, InputMissing
from edge.records import MASK, NO_MASK, ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import HELD_OUT, LABELS, TRAIN, FaceRow, read_manifest, refuse_straddling
from trainer.learn import network
from trainer.learn.draws import Batch, Feed, Maker, Recipe, draw
from trainer.learn.runs import BEST, LAST, EpochFigures, Run, Settings, begin, describe, read_run, write_run
from trainer.metrics import Calibration, Score, probabilities, score
from trainer.whole import replace_file

NORM_BATCHES: Final = 16  # of 64 training faces, to measure BatchNorm statistics on


class Learner:
    """A network with its optimizer and the running average of its weights."""

    def __init__(self, settings: Settings, model: network.Model) -> None:
        import keras
        import tensorflow as tf

        self.model = model
        self.settings = settings
        self._features, self._dropout, self._head = network.features_and_head(model)
        self._variables = model.trainable_variables
        self.average = [v.numpy().copy() for v in self._variables]
        self.step = 0
        total = settings.steps * settings.epochs
        schedule = rising_cosine(settings.rate, round(settings.warmup * total), total)
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
        keep = min(self.settings.average, (1 + self.step) / (10 + self.step))  # early on the average follows closely
        for i, variable in enumerate(self._variables):
            self.average[i] += (1 - keep) * (variable.numpy() - self.average[i])
        return loss

    def swap(self) -> None:
        """Exchange the weights in use and their running average."""
        for i, variable in enumerate(self._variables):
            used = variable.numpy().copy()
            variable.assign(self.average[i])
            self.average[i] = used

    def save(self, path: Path, epoch: int) -> None:
        """Everything that going on needs, under names that say what it is."""
        held = {f"w{i}": v.numpy() for i, v in enumerate(self.model.variables)}
        held |= {f"a{i}": v for i, v in enumerate(self.average)}
        held |= {f"o{i}": v.numpy() for i, v in enumerate(self._optimizer.variables)}
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


def rising_cosine(rate: float, warmup: int, total: int) -> Any:
    """Learning rate by step: a linear rise over ``warmup`` steps, then half a cosine down to nearly none."""
    import keras

    return keras.optimizers.schedules.CosineDecay(
        rate / 20, max(1, total - warmup), alpha=0.01, warmup_target=rate, warmup_steps=max(1, warmup)
    )


def logits_of(model: network.Model, crops: ImageU8, batch: int = 64) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n, 3) logits of uint8 RGB crops by the float network."""
    parts = [
        np.asarray(model(network.scale(crops[i : i + batch]), training=False)) for i in range(0, len(crops), batch)
    ]
    return np.concatenate(parts).astype(np.float64)


def judge(learner: Learner, crops: ImageU8, rows: Sequence[FaceRow]) -> Score:
    """The averaged weights on held-out crops, uncalibrated, threshold one half."""
    if not rows:
        return Score(*(float("nan"),) * 4)
    learner.swap()
    p = probabilities(logits_of(learner.model, crops), Calibration())
    learner.swap()
    return score(p[:, 0], np.array([r.label_index for r in rows]))


def recipe_of(settings: Settings, data: Path) -> Recipe:
    return Recipe(data, settings.margin, settings.input_px, settings.seed, settings.transplants)


def crops_of(settings: Settings, data: Path, rows: Sequence[FaceRow]) -> ImageU8:
    """Crops as the device makes them; (0, side, side, 3) where there is no row."""
    if not rows:
        return np.zeros((0, settings.input_px, settings.input_px, 3), np.uint8)
    return plain_crops(data, rows, settings.margin, settings.input_px)


def fresh_network(settings: Settings, rows: Sequence[FaceRow]) -> network.Model:
    """A network to start from, whose BatchNorm statistics are those of our training faces."""
    where = settings.weights if settings.weights in (None, "imagenet") else Path(settings.weights)
    start = None if settings.start_from else where
    model = network.build(settings.input_px, settings.alpha, start, settings.dropout, settings.seed)
    if settings.start_from:
        load_weights(model, Path(settings.start_from) / BEST)
    maker = Maker(rows, recipe_of(settings, Path(settings.data)))
    picked = draw(rows, min(NORM_BATCHES * 64, max(64, len(rows))), settings.seed, 0).tolist()
    batches = (network.scale(maker.batch(picked[at : at + 64], 0, at).images_rgb) for at in range(0, len(picked), 64))
    network.restate_norms(model, batches)
    return model


def load_best(folder: Path, settings: Settings) -> network.Model:
    """The float network of a run's best epoch."""
    model = network.build(settings.input_px, settings.alpha, None, settings.dropout, settings.seed)
    load_weights(model, folder / BEST)
    return model


def load_weights(model: network.Model, path: Path) -> None:
    if not path.is_file():
        raise InputMissing(
            f"no {BEST} in {path.parent}: its training has not begun; `trainer train --out {path.parent}`"
        )
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path} does not fit its run's settings: train again into a new folder") from error


def split_rows(data: Path) -> tuple[list[FaceRow], list[FaceRow]]:
    """Training and held-out faces of a prepared set that can be trained on."""
    rows = read_manifest(data)
    refuse_straddling(rows)
    training, held_out = ([r for r in rows if r.split == s] for s in (TRAIN, HELD_OUT))
    present = {r.label for r in training}
    if not {MASK, NO_MASK} <= present:
        raise DataError(f"{data} has only {sorted(present)} to train on: both mask and no_mask are needed")
    return training, held_out


def train(
    settings: Settings,
    folder: Path,
    *,
    resume: bool,
    tell: Callable[[str], None],
    tick: Callable[[], None] = lambda: None,
    workers: int = 1,
) -> Run:
    """Train into a run folder; ``tell`` gets one line per epoch, ``tick`` is called per step.

    resume: go on with the run there, by its own settings. KeyboardInterrupt leaves the last whole epoch.
    """
    run = read_run(folder) if resume else begin(settings)
    settings, data = run.settings, Path(run.settings.data)
    training, held_out = split_rows(data)
    learner = Learner(settings, fresh_network(settings, training))
    done = learner.load(folder / LAST) if resume and (folder / LAST).is_file() else 0
    write_run(folder, run)
    crops = crops_of(settings, data, held_out)
    with Feed(training, recipe_of(settings, data), settings.batch, workers) as feed, first_weights(learner, folder):
        for epoch in range(done + 1, settings.epochs + 1):
            run = _one_epoch(learner, feed, run, epoch, crops=crops, held_out=held_out, tick=tick)
            _keep(learner, run, folder, epoch)
            tell(describe(run.figures[-1], settings.epochs))
    return run


@contextmanager
def first_weights(learner: Learner, folder: Path) -> Iterator[None]:
    """Ctrl-C before the first epoch's end still leaves weights that can be used."""
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / BEST).is_file():
            _save_average(learner, folder)
        raise


def _one_epoch(
    learner: Learner,
    feed: Feed,
    run: Run,
    epoch: int,
    *,
    crops: ImageU8,
    held_out: Sequence[FaceRow],
    tick: Callable[[], None],
) -> Run:
    start = time.monotonic()
    losses = []
    for batch in feed.epoch(run.settings.draws, epoch):
        losses.append(learner.learn(batch))
        tick()
    s = judge(learner, crops, held_out)
    figures = EpochFigures(epoch, float(np.mean(losses)), **asdict(s), seconds=round(time.monotonic() - start, 1))
    return replace(run, figures=(*run.figures, figures))


def _keep(learner: Learner, run: Run, folder: Path, epoch: int) -> None:
    """The averaged weights where this epoch is the best so far, then the checkpoint, then the figures."""
    if run.best is run.figures[-1] or math.isnan(run.figures[-1].merit):
        _save_average(learner, folder)
    learner.save(folder / LAST, epoch)
    write_run(folder, run)


def _save_average(learner: Learner, folder: Path) -> None:
    learner.swap()
    replace_file(folder / BEST, learner.model.save_weights)
    learner.swap()
