"""One training step, whatever the recipe and on however many devices, and what going on later needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from trainer.learn.strategies import Strategy, devices_here, shard
from trainer.whole import replace_file

Tensor = Any  # of TensorFlow, which is imported late
Array = npt.NDArray[Any]
SEED_STRIDE: Final = 1_000_003  # keeps the random numbers of seeds 1 and 2 apart for a million steps


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned, made by a recipe within the strategy's scope.

    model: Keras network. variables: its Keras variables that change.
    forward: inputs (as the batches hold them) and a seed, (2,) int32, to outputs, in training.
    loss: labels (n,) and outputs to (n,) losses. right: the same to (n,) 0 or 1, whether the likeliest label is true.
    average: decay of the running average of the weights, per step; None for no average.
    chance: states of random generators outside the model, which going on needs too.
    """

    model: Any
    variables: list[Any]
    forward: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    right: Callable[[Tensor, Tensor], Tensor]
    optimizer: Any
    average: float | None = None
    seed: int = 0
    chance: list[Any] = field(default_factory=list)


class Learner:
    """A lesson's state: weights, their running average, the optimizer, the number of steps done."""

    def __init__(self, lesson: Lesson, strategy: Strategy) -> None:
        import tensorflow as tf

        self.lesson = lesson
        self.step = 0
        self._strategy = strategy
        with strategy.scope():
            lesson.optimizer.build(lesson.variables)
            averaged = lesson.variables if lesson.average is not None else []
            self._averages = [tf.Variable(v.numpy(), trainable=False) for v in averaged]
        self._learn = tf.function(self._step, autograph=False)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.lesson.optimizer.learning_rate.numpy())  # float() of a variable on several devices fails

    @property
    def average(self) -> list[Array]:
        """Running averages of the variables, in their order; the variables themselves where none are kept."""
        return [a.numpy() for a in self._averages] or [v.numpy() for v in self.lesson.variables]

    def learn(self, inputs: Array, labels: npt.NDArray[np.int64]) -> Tensor:
        """One step on this worker's share of a batch. Returns (2,): loss and share right, over all workers.

        The number is read later: a device may still be at work when this returns.
        """
        import tensorflow as tf

        self.step += 1
        total = len(labels) * shard(self._strategy)[1]
        keep = min(self.lesson.average or 0.0, (1 + self.step) / (10 + self.step))  # early on it follows closely
        seed = np.int32((self.lesson.seed * SEED_STRIDE + self.step) % 2**31)
        scalars = (tf.constant(float(total)), tf.constant(keep, tf.float32), tf.constant(seed))
        return self._learn(self._dealt(inputs), self._dealt(labels), *scalars)

    def _dealt(self, values: Array) -> Any:
        """Consecutive parts of an array, one per device of this process, as even as can be."""
        import tensorflow as tf

        parts = np.array_split(values, devices_here(self._strategy))
        if len(parts) == 1:
            return tf.constant(parts[0])
        deal = self._strategy.experimental_distribute_values_from_function
        return deal(lambda context: tf.constant(parts[context.replica_id_in_sync_group % len(parts)]))

    def _step(self, inputs: Any, labels: Any, total: Tensor, keep: Tensor, seed: Tensor) -> Tensor:
        per_device = self._strategy.run(self._on_device, args=(inputs, labels, total, seed))
        for average, variable in zip(self._averages, self.lesson.variables, strict=False):
            self._strategy.extended.update(average, _follow, args=(variable.value, keep))
        return self._strategy.reduce("SUM", per_device, axis=None)

    def _on_device(self, inputs: Tensor, labels: Tensor, total: Tensor, seed: Tensor) -> Tensor:
        """One device's share. Keras' optimizer sums the gradients over devices, so the loss is a share of the whole."""
        import tensorflow as tf

        lesson = self.lesson
        here = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.GradientTape() as tape:
            outputs = lesson.forward(inputs, tf.stack([seed, tf.cast(here, tf.int32)]))
            loss = tf.reduce_sum(lesson.loss(labels, outputs)) / total
        gradients = tape.gradient(loss, lesson.variables)
        lesson.optimizer.apply_gradients(zip(gradients, lesson.variables, strict=True))
        return tf.stack([loss, tf.reduce_sum(lesson.right(labels, outputs)) / total])

    def swap(self) -> None:
        """Exchange the weights in use and their running average."""
        for average, variable in zip(self._averages, self.lesson.variables, strict=False):
            used = variable.numpy()
            variable.assign(average.numpy())
            average.assign(used)

    def save(self, path: Path, epoch: int, progress: str = "") -> None:
        """Everything that going on needs, under names that say what it is. progress: text, for ``progress_of``."""
        held = {name: v.numpy() for name, v in self._named()}
        held |= {"epoch": np.array(epoch), "step": np.array(self.step), "progress": np.array(progress)}
        replace_file(path, lambda beside: _save_npz(beside, **held))

    def load(self, path: Path) -> int:
        """Go on from ``save``; returns the epochs that are done. Raises DataError where the file is broken."""
        with _opened(path) as held:
            for name, v in self._named():
                v.assign(held[name])
            self.step = int(held["step"])
            return int(held["epoch"])

    def _named(self) -> list[tuple[str, Any]]:
        """Weights ``w0``.., averages ``a0``.., the optimizer's ``o0``.., generators ``g0``.."""
        lesson = self.lesson
        groups: dict[str, list[Any]] = {"w": lesson.model.variables, "a": self._averages}
        groups |= {"o": lesson.optimizer.variables, "g": lesson.chance}
        return [(f"{letter}{i}", v) for letter, group in groups.items() for i, v in enumerate(group)]


def progress_of(path: Path) -> str:
    """The text that was saved with a checkpoint. Raises DataError where the file is broken."""
    with _opened(path) as held:
        return str(held["progress"])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with np.load(path) as held:
            yield held
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise DataError(
            f"{path} does not fit its run, is an older trainer's or is broken: train again into a new folder"
        ) from error


def _follow(average: Any, value: Tensor, keep: Tensor) -> None:
    average.assign_add((1 - keep) * (value - average))


def _save_npz(path: Path, **arrays: Any) -> None:
    with path.open("wb") as f:
        np.savez(f, **arrays)


PerExample = Callable[[Tensor, Tensor], Tensor]  # labels (n,), outputs -> (n,)


def one_of_many(smoothing: float) -> tuple[PerExample, PerExample]:
    """Loss and hits of logits, (n, labels): softmax cross-entropy with label smoothing; whether the largest is true."""

    def loss(labels: Tensor, logits: Tensor) -> Tensor:
        import tensorflow as tf

        count = logits.shape[-1]
        truth = tf.one_hot(labels, count) * (1 - smoothing) + smoothing / count
        return tf.nn.softmax_cross_entropy_with_logits(truth, logits)

    def right(labels: Tensor, logits: Tensor) -> Tensor:
        import tensorflow as tf

        return tf.cast(tf.argmax(logits, -1) == labels, tf.float32)

    return loss, right


def rising_cosine(rate: float, warmup: int, total: int) -> Any:
    """Learning rate by step: a linear rise over ``warmup`` steps, then half a cosine down to nearly none."""
    import keras

    return keras.optimizers.schedules.CosineDecay(
        rate / 20, max(1, total - warmup), alpha=0.01, warmup_target=rate, warmup_steps=max(1, warmup)
    )
