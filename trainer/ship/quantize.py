"""From a float network to a full-integer TFLite model: uint8 in, uint8 logits out, one scale per output channel.

The normalisation is the input tensor's quantisation (scale 1/127.5), so the device hands over its pixels as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.interpreter import Interpreter, Tensor
from edge.records import ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.learn import network
from trainer.learn.draws import Maker, Recipe, draw
from trainer.quiet import no_chatter

REPRESENTATIVES: Final = 400
REPRESENTATIVE_EPOCH: Final = 1_000_000  # draws that no epoch of training shares
INPUT_SCALE: Final = 1 / 127.5


def representative_crops(rows: Sequence[FaceRow], recipe: Recipe, count: int = REPRESENTATIVES) -> ImageU8:
    """Training faces that show the converter the range of every activation: balanced draws, seeded; every second one
    varied as in training, since a door has harder light than the photos."""
    picked = [int(i) for i in draw(rows, count, recipe.seed, REPRESENTATIVE_EPOCH)]
    plain = plain_crops(recipe.folder, [rows[i] for i in picked[::2]], recipe.margin, recipe.size_px)
    varied = Maker(rows, recipe).batch(picked[1::2], REPRESENTATIVE_EPOCH, 0).images_rgb
    return np.concatenate([plain, varied])


def to_int8(model: network.Model, crops_rgb: ImageU8) -> bytes:
    """Convert; ``crops_rgb`` is the representative set, (n, side, side, 3) uint8."""
    import tensorflow as tf

    side = crops_rgb.shape[1]
    with no_chatter():
        converter = tf.lite.TFLiteConverter.from_keras_model(_one_at_a_time(model, side))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _samples(crops_rgb)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    with no_chatter():
        data: bytes = converter.convert()
    return data


def _one_at_a_time(model: network.Model, side: int) -> Any:
    """The same network at batch size one, which all runtimes and the Edge TPU's compiler take."""
    import keras

    image = keras.Input(batch_shape=(1, side, side, 3))
    return keras.Model(image, model(image, training=False))


def _samples(crops_rgb: ImageU8) -> Iterator[list[npt.NDArray[np.float32]]]:
    """One picture from black to white first, so that the input's range is -1..1 whatever the faces hold."""
    ramp = np.linspace(0, 255, crops_rgb[0].size).astype(np.uint8).reshape(crops_rgb[0].shape)
    for crop in (ramp, *crops_rgb):
        yield [network.scale(crop[np.newaxis])]


def check_input(tensor: Tensor) -> None:
    """Refuse a model whose input quantisation is not the normalisation it was trained with."""
    near = abs(tensor.scale - INPUT_SCALE) < 1e-4 and tensor.zero_point in (127, 128)
    if tensor.dtype != "uint8" or not near:
        raise DataError(
            f"converted model takes {tensor}; scale 1/127.5 at 127 or 128 was meant: report this as a fault"
        )


def raw_answers(interpreter: Interpreter, crops_rgb: ImageU8) -> npt.NDArray[np.uint8]:
    """(n, labels) uint8 answers of a converted model."""
    return np.stack([interpreter.run(crop[np.newaxis])[0] for crop in crops_rgb])


def dequantise(raw: npt.NDArray[np.uint8], output: Tensor) -> npt.NDArray[np.float64]:
    """Quantised answers to logits; widened first, or 8 bits would wrap around."""
    logits: npt.NDArray[np.float64] = output.scale * (raw.astype(np.float64) - output.zero_point)
    return logits
