"""A float network made ready for integers: weights rounded to the steps they will have, biases moved to make up for it.

Rounding shifts the mean of a channel, and the layers behind add such shifts up: measured, that is nearly all that plain
post-training quantisation loses (docs/training.md). So every bias takes the difference back: the empirical form of
"Data-Free Quantization Through Weight Equalization and Bias Correction", Nagel et al., 2019. Nothing is trained.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from trainer.learn.network import Model

Weights = npt.NDArray[np.float64]
STEPS: Final = 127  # on either side of zero, as TFLite has it
SMALLEST: Final = 1e-12  # of a step, for a channel that is all zero


def rounded(model: Model, images: npt.NDArray[np.float32]) -> Model:
    """A network of the same build that integers can hold exactly: its BatchNormalizations do nothing but add a bias.

    images: (n, side, side, 3) in -1..1, training faces; means of channels are taken over them.
    Raises DataError where the build is not that of ``trainer.learn.network``.
    """
    twin = copied(model)
    for convolution, norm in _convolutions(twin):
        _fold(convolution, norm)
    kernel, bias = twin.layers[-1].get_weights()
    twin.layers[-1].set_weights([to_steps(kernel, (0, 1)), bias])
    _compensate(model, twin, images)
    return twin


def copied(model: Model) -> Model:
    """The same network, its layers named by their places.

    Keras numbers layers by how many it has made in this process, and the names end up in the converted file.
    """
    import keras

    places = itertools.count()

    def renamed(layer: Any) -> Any:
        name = f"{next(places)}_{re.sub(r'_[0-9]+$', '', layer.name)}"
        return type(layer).from_config({**layer.get_config(), "name": name})

    twin = keras.models.clone_model(model, clone_function=renamed)
    twin.set_weights(model.get_weights())
    return twin


def _convolutions(model: Model) -> Iterator[tuple[Any, Any]]:
    """Each convolution with the BatchNormalization behind it."""
    import keras

    for layer, behind in zip(model.layers, model.layers[1:], strict=False):
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            if layer.use_bias or not isinstance(behind, keras.layers.BatchNormalization):
                raise DataError(
                    f"layer {layer.name} of this run cannot be made integer: train with recipe mobilenet_v2"
                )
            yield layer, behind


def _fold(convolution: Any, norm: Any) -> None:
    """Move a BatchNormalization's gain into the rounded kernel before it; only the shift stays."""
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    gain = gamma / np.sqrt(variance + norm.epsilon)
    kernel = np.asarray(convolution.get_weights()[0], np.float64)
    depthwise = kernel.shape[2] == len(gain) and kernel.shape[3] == 1
    folded = kernel * (gain[:, np.newaxis] if depthwise else gain)
    convolution.set_weights([to_steps(folded, (0, 1, 3) if depthwise else (0, 1, 2))])
    same = np.ones_like(gain), beta - mean * gain, np.zeros_like(gain), np.full_like(gain, 1 - norm.epsilon)
    norm.set_weights(list(same))


def to_steps(kernel: npt.NDArray[Any], axes: tuple[int, ...]) -> Weights:
    """Weights at whole multiples of a step; the largest over ``axes`` is 127 steps, so that the converter finds it."""
    wide = np.asarray(kernel, np.float64)
    step = np.maximum(np.abs(wide).max(axis=axes, keepdims=True) / STEPS, SMALLEST)
    held: Weights = np.round(wide / step) * step
    return held


def _compensate(model: Model, twin: Model, images: npt.NDArray[np.float32]) -> None:
    """From input to output, give each bias of the twin what makes its channels' means those of the model."""
    met = {id(twin.input): (images, images)}  # what the two networks have at this place
    waiting = Counter(id(t) for layer in twin.layers[1:] for t in _inputs(layer))
    for own, other in zip(model.layers[1:], twin.layers[1:], strict=True):
        given = [met[id(t)] for t in _inputs(other)]
        wanted, found = own(_alone([g[0] for g in given])), other(_alone([g[1] for g in given]))
        if _has_bias(other):
            gap = (_means(wanted) - _means(found)).astype(np.float32)
            _add_to_bias(other, gap)
            found = found + gap
        met[id(other.output)] = wanted, found
        waiting.subtract(id(t) for t in _inputs(other))
        met = {place: pair for place, pair in met.items() if waiting[place] > 0}  # activations are large


def _inputs(layer: Any) -> list[Any]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _alone(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _has_bias(layer: Any) -> bool:
    import keras

    return isinstance(layer, keras.layers.BatchNormalization | keras.layers.Dense)


def _add_to_bias(layer: Any, more: npt.NDArray[np.float32]) -> None:
    weights = layer.get_weights()
    weights[1] = weights[1] + more  # beta, or the dense layer's bias
    layer.set_weights(weights)


def _means(values: Any) -> Weights:
    """Means per channel, the last axis."""
    import tensorflow as tf

    return np.asarray(tf.reduce_mean(values, axis=tuple(range(values.shape.rank - 1))), np.float64)
