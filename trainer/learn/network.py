"""The classifier: MobileNetV2 up to its pooled features, dropout, and one dense layer that gives logits.

Logits, not probabilities, leave the model: softmax squeezed into 256 steps is what runtimes disagree about most.
The input is RGB in -1..1; in an exported model that scaling is the input tensor's quantisation.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import DataError, InputMissing, Unavailable
from edge.records import ImageU8
from trainer.faces.labels import LABELS
from trainer.quiet import start_tensorflow
from trainer.whole import replace_file

Model = Any  # keras.Model; TensorFlow is imported late, so that `trainer --help` is quick


def build(input_px: int, alpha: float, weights: str | Path | None, dropout: float, seed: int) -> Model:
    """A fresh classifier. weights: a ``.weights.h5`` path, ``imagenet`` (Keras downloads them), or None for random.

    Input (n, input_px, input_px, 3) float32 in -1..1; output (n, 3) logits in the order of ``LABELS``.
    """
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    base = mobilenet_base(input_px, alpha, weights, pooling="avg")
    features = keras.layers.Dropout(dropout, seed=seed)(base.output)
    logits = keras.layers.Dense(len(LABELS), name="logits")(features)
    return keras.Model(base.input, logits, name="mask_mnv2")


def mobilenet_base(input_px: int, alpha: float, weights: str | Path | None, pooling: str | None) -> Model:
    """MobileNetV2 without its top. Raises InputMissing or DataError where the weights are not there or do not fit."""
    import keras

    if isinstance(weights, Path) and not weights.is_file():
        raise InputMissing(f"no weights at {weights}: give --weights a file, or `imagenet` where there is a network")
    where = str(weights) if weights else None
    shape = (input_px, input_px, 3)
    try:
        return keras.applications.MobileNetV2(
            input_shape=shape, alpha=alpha, include_top=False, weights=where, pooling=pooling
        )
    except (ValueError, OSError) as error:
        raise DataError(f"weights {where} do not fit MobileNetV2 of width {alpha}: {error}") from error
    except Exception as error:
        if type(error) is not Exception:  # the bare class is Keras' word for a download that failed
            raise
        raise Unavailable(
            "the ImageNet weights cannot be downloaded: give --weights a file, or mend the network"
        ) from error


def load_weights(model: Model, path: Path) -> None:
    """Raises InputMissing where there are none, DataError where they are another network's."""
    if not path.is_file():
        raise InputMissing(
            f"no {path.name} in {path.parent}: its training has not begun; `trainer train --out {path.parent}`"
        )
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path} does not fit its run's settings: train again into a new folder") from error


def save_weights(model: Model, path: Path) -> None:
    """Whole or not at all. Raises DiskError, as where the disk is full."""
    replace_file(path, lambda beside: _save(model, beside))


def _save(model: Model, path: Path) -> None:
    try:
        model.save_weights(path)
    except RuntimeError as error:  # h5py's word for a write that the disk refused
        raise OSError(str(error)) from error


def scale(images_rgb: ImageU8) -> npt.NDArray[np.float32]:
    """uint8 0..255 to float32 -1..1, as Keras' MobileNetV2 was trained."""
    scaled: npt.NDArray[np.float32] = images_rgb.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return scaled


def norms(model: Model) -> list[Any]:
    """Every BatchNormalization layer, from input to output."""
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def features_and_head(model: Model) -> tuple[Model, Any, Any]:
    """The classifier in its three parts: network to pooled features, dropout, dense layer. They share its weights.

    Training calls the first with ``training=False``: its BatchNormalizations then use fixed statistics while their
    scale and shift are still learned, and the others' dropout works. (``trainable=False`` would freeze all four.)
    """
    import keras

    dropout, logits = model.layers[-2:]
    return keras.Model(model.input, dropout.input), dropout, logits


def restate_norms(model: Model, batches: Iterable[npt.NDArray[np.float32]]) -> None:
    """Set every BatchNormalization's mean and variance to those of ``batches``; the function computed stays the same.

    The offline weights carry statistics of other pictures. With A = gamma / sqrt(var + e):
    new gamma = A * sqrt(new var + e), new beta = beta + A * (new mean - mean).
    """
    layers = norms(model)
    means, squares, count = _moments(model, layers, batches)
    for layer, mean, square in zip(layers, means, squares, strict=True):
        restate(layer, mean / count, np.maximum(square / count - (mean / count) ** 2, 1e-6))


def restate(layer: Any, new_mean: npt.NDArray[Any], new_variance: npt.NDArray[Any]) -> None:
    """Give one BatchNormalization other statistics; it computes what it did before."""
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in layer.get_weights())
    gain = gamma / np.sqrt(variance + layer.epsilon)
    new_gamma = gain * np.sqrt(new_variance + layer.epsilon)
    new_beta = beta + gain * (new_mean - mean)
    layer.set_weights([w.astype(np.float32) for w in (new_gamma, new_beta, new_mean, new_variance)])


def _moments(
    model: Model, layers: list[Any], batches: Iterable[npt.NDArray[np.float32]]
) -> tuple[list[npt.NDArray[np.float64]], list[npt.NDArray[np.float64]], int]:
    """Sums of the inputs of ``layers`` and of their squares, per channel, and the number of batches averaged."""
    import keras

    probe = keras.Model(model.input, [layer.input for layer in layers])
    means = [np.zeros(layer.input.shape[-1]) for layer in layers]
    squares = [np.zeros(layer.input.shape[-1]) for layer in layers]
    count = 0
    for batch in batches:
        for i, values in enumerate(probe(batch, training=False)):
            flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
            means[i] += flat.mean(axis=0)
            squares[i] += (flat**2).mean(axis=0)
        count += 1
    return means, squares, count
