"""From a float network to a TFLite model, most of all a full-integer one: uint8 in, uint8 logits out.

The normalisation is the input tensor's quantisation (scale 1/127.5), so the device hands over its pixels as they are.
Convolutions have a step per output channel. The dense layer has one for all: steps per output came to the converter in
2024, NNAPI and TFLite Micro refuse them there, and the Edge TPU's compiler is older than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.interpreter import Tensor
from edge.records import ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.learn import network
from trainer.learn.draws import Maker, Recipe, draw
from trainer.quiet import no_chatter
from trainer.ship.rounding import copied, rounded

REPRESENTATIVES: Final = 400
REPRESENTATIVE_EPOCH: Final = 1_000_000  # draws that no epoch of training shares
FOR_MEANS: Final = 130  # of the representatives; more change the biases by less than a step
INPUT_SCALE: Final = 1 / 127.5


def representative_crops(rows: Sequence[FaceRow], recipe: Recipe, count: int = REPRESENTATIVES) -> ImageU8:
    """Training faces that show the converter the range of every activation: balanced draws, seeded; every second one
    varied as in training, since a door has harder light than the photos."""
    picked = [int(i) for i in draw(rows, count, recipe.seed, REPRESENTATIVE_EPOCH)]
    plain = plain_crops(recipe.folder, [rows[i] for i in picked[::2]], recipe.margin, recipe.size_px)
    varied = Maker(rows, recipe).batch(picked[1::2], REPRESENTATIVE_EPOCH, 0).images_rgb
    return np.concatenate([plain, varied])


def to_int8(model: network.Model, crops_rgb: ImageU8) -> bytes:
    """Convert to integers; ``crops_rgb`` is the representative set, (n, side, side, 3) uint8."""
    import tensorflow as tf

    held = rounded(model, network.scale(crops_rgb[:: max(1, len(crops_rgb) // FOR_MEANS)]))
    converter = _converter(held)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _samples(crops_rgb)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    with no_chatter():
        data: bytes = converter.convert()
    return data


def to_float(model: network.Model, half: bool) -> bytes:
    """Convert as it is: float32 in -1..1 in, float32 logits out; ``half`` stores the weights as float16."""
    import tensorflow as tf

    converter = _converter(copied(model))
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with no_chatter():
        data: bytes = converter.convert()
    return data


def _converter(model: network.Model) -> Any:
    """For the network at batch size one, which all runtimes and the Edge TPU's compiler take."""
    import keras
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, *model.input.shape[1:]), name="face")
    alone = keras.Model(image, model(image, training=False), name="alone")
    with no_chatter():
        return tf.lite.TFLiteConverter.from_keras_model(alone)


def _samples(crops_rgb: ImageU8) -> Iterator[list[npt.NDArray[np.float32]]]:
    """One picture from black to white first, so that the input's range is -1..1 whatever the faces hold."""
    ramp = np.linspace(0, 255, crops_rgb[0].size).astype(np.uint8).reshape(crops_rgb[0].shape)
    for crop in (ramp, *crops_rgb):
        yield [network.scale(crop[np.newaxis])]


def check_input(tensor: Tensor) -> None:
    """Refuse an integer model whose input quantisation is not the normalisation it was trained with."""
    near = abs(tensor.scale - INPUT_SCALE) < 1e-4 and tensor.zero_point in (127, 128)
    if tensor.dtype != "uint8" or not near:
        raise DataError(
            f"converted model takes {tensor}; scale 1/127.5 at 127 or 128 was meant: report this as a fault"
        )
