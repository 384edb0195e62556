"""Makes the models of ``tests/data``: `python -m tests.make_tiny_models`. Needs TensorFlow; the tests do not.

``tiny_edgetpu.tflite`` stands for what edgetpu_compiler makes of ``tiny_uint8.tflite``: one operator of the compiler's
name. No Edge TPU can run it; the library of ``tests/edge/fake_edgetpu.c`` does.

8x8 RGB in, three logits out, 16 for a pure colour: green is ``mask``, red ``no_mask``, blue ``incorrect``. One model
has uint8 in and out, as a bundle wants it; one is float, as a bundle must not have it.

Two pass every self-test and are no good at a door: their logits are flat, and a crop of more than one colour costs them
a loop first, of about half a second in ``tiny_slow`` and without an end in ``tiny_endless``.
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


def looping(rounds: float) -> bytes:
    """A model that does so many rounds of a loop before it judges a crop of more than one colour."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE_PX, SIDE_PX, 3), tf.uint8)])  # type: ignore[untyped-decorator]
    def judge(crop: Any) -> Any:
        pixels = tf.cast(crop, tf.float32)
        spread = tf.reduce_max(tf.reduce_max(pixels, axis=(1, 2)) - tf.reduce_min(pixels, axis=(1, 2)))
        limit = tf.where(spread > 0, rounds, 0.0)
        _, total = tf.while_loop(lambda i, t: i < limit, lambda i, t: (i + 1.0, tf.sin(t + i)), (0.0, 0.0))
        return tf.cast(tf.zeros((1, 3)) + 85.0 + 0.0 * total, tf.uint8)

    converted: bytes = tf.lite.TFLiteConverter.from_concrete_functions(
        [judge.get_concrete_function()], tf.Module()
    ).convert()
    return converted


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
    (DATA / "tiny_edgetpu.tflite").write_bytes(as_compiled((DATA / "tiny_uint8.tflite").read_bytes()))
    (DATA / "tiny_slow.tflite").write_bytes(looping(1e6))
    (DATA / "tiny_endless.tflite").write_bytes(looping(1e9))  # float32 counts no further than 2 ** 24


def as_compiled(model: bytes) -> bytes:
    """The same input and output, and ``edgetpu-custom-op`` in place of all that is between."""
    import flatbuffers  # type: ignore[import-untyped]
    from tensorflow.lite.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    [graph] = tree.subgraphs
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = b"edgetpu-custom-op", 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    operator.customOptions = list(b"stands for compiled code")
    graph.tensors = [graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    tree.operatorCodes, tree.metadata, tree.signatureDefs = [code], [], []
    for tensor in graph.tensors:
        tensor.buffer = 0
    tree.buffers = tree.buffers[:1]
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main()
