"""Makes the models of ``tests/data``: `python -m tests.make_tiny_models`. Needs TensorFlow; the tests do not.

8x8 RGB in, three logits out, 16 for a pure colour: green is ``mask``, red ``no_mask``, blue ``incorrect``. One model
has uint8 in and out, as a bundle wants it; one is float, as a bundle must not have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"
SIDE_PX = 8
WEIGHTS = np.array(
    [[-4, 8, -4], [8, -4, -4], [-4, -4, 8]], np.float32
)  # rows R, G, B; columns in the order of the labels
COLOURS = np.array([[-1, -1, -1], [1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], np.float32)


def colours() -> Iterator[list[Any]]:
    for colour in COLOURS:
        yield [np.broadcast_to(colour, (1, SIDE_PX, SIDE_PX, 3))]


def main() -> None:
    import tensorflow as tf

    shape = tf.TensorSpec((1, SIDE_PX, SIDE_PX, 3), tf.float32)
    module = tf.Module()
    judge = tf.function(lambda crop: tf.matmul(tf.reduce_mean(crop, axis=(1, 2)), WEIGHTS), input_signature=[shape])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([judge.get_concrete_function()], module)
    (DATA / "tiny_float.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = colours
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    (DATA / "tiny_uint8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
