"""Whether a Coral Edge TPU could run a model: by the published list, and by its own compiler where there is one."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import DataError, Unavailable

COMPILER: Final = "edgetpu_compiler"
COMPILER_LIMIT_S: Final = 600
WHERE: Final = (
    "it is a Debian package for x86-64: add `deb https://packages.cloud.google.com/apt coral-edgetpu-stable main`, "
    "then apt install edgetpu-compiler; or leave --edgetpu out"
)
MAPPED: Final = "Mapped to Edge TPU"
LOG_LINE: Final = re.compile(r"([A-Z][A-Z0-9_]+) +(\d+) +(\S.*)")
LIST: Final = Path(__file__).with_name("edgetpu_operations.toml")
WITH_PARAMETERS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
WITHOUT_ACTIVATION: Final = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION")
NOT_OVER_BATCH: Final = ("MEAN", "REDUCE_MAX", "REDUCE_MIN")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model file. shape: with the batch first, -1 where it is not fixed. scales: how many it has.

    values: of a small constant of int32, such as the axes of a mean; empty for others.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: int
    constant: bool
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a model file, by TFLite's name. options: as in TFLite's schema, by name."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: dict[str, Any]


def read_operators(model: bytes) -> list[Operator]:
    """The operators in the order they run. Raises DataError where the file has several subgraphs."""
    from tensorflow.lite.python import schema_py_generated as schema

    held = schema.ModelT.InitFromPackedBuf(model, 0)
    if len(held.subgraphs) != 1:
        raise DataError(f"model has {len(held.subgraphs)} subgraphs: one is needed; report this as a fault")
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    dtypes = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    graph = held.subgraphs[0]
    tensors = [_tensor(t, held.buffers[t.buffer].data, dtypes) for t in graph.tensors]
    codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in held.operatorCodes]  # ids above 127 moved
    return [
        Operator(
            codes[o.opcodeIndex],
            tuple(tensors[i] for i in o.inputs if i >= 0),
            tuple(tensors[i] for i in o.outputs),
            dict(vars(o.builtinOptions)) if o.builtinOptions else {},
        )
        for o in graph.operators
    ]


def _tensor(held: Any, data: Any, dtypes: dict[int, str]) -> Tensor:
    import numpy as np

    given = held.shapeSignature if held.shapeSignature is not None else held.shape
    shape = () if given is None else tuple(int(n) for n in given)
    scale = held.quantization.scale if held.quantization else None
    dtype = dtypes[held.type]
    axes = data is not None and dtype == "INT32" and len(data) <= 32
    return Tensor(
        name=held.name.decode(errors="replace"),
        shape=shape,
        dtype=dtype,
        scales=0 if scale is None else len(scale),
        constant=data is not None,
        values=tuple(np.frombuffer(bytes(data), np.int32).tolist()) if axes else (),
    )


def obstacles(operators: list[Operator]) -> list[str]:
    """What keeps operators off an Edge TPU, a line each; none where the whole model is ready."""
    known: dict[str, str] = tomllib.loads(LIST.read_text())["operations"]
    found = []
    for place, operator in enumerate(operators):
        reasons = _reasons(operator) if operator.name in known else ["is not on the list"]
        found += [f"{operator.name} (operator {place}) {reason}" for reason in reasons]
    return found


def _reasons(operator: Operator) -> Iterator[str]:
    for tensor in (*operator.inputs, *operator.outputs):
        yield from _of_tensor(tensor)
    if operator.name in WITH_PARAMETERS:
        if not all(t.constant for t in operator.inputs[1:]):
            yield "has weights or biases that are not constant"
        if operator.options.get("dilationWFactor", 1) != operator.options.get("dilationHFactor", 1):
            yield "is dilated otherwise in x than in y"
    if operator.name in WITHOUT_ACTIVATION and operator.options.get("fusedActivationFunction"):
        yield "has a fused activation"
    if operator.name in NOT_OVER_BATCH:
        yield from _of_mean(operator)
    if operator.name == "FULLY_CONNECTED":
        yield from _of_dense(operator)
    if operator.name == "SOFTMAX" and math.prod(operator.inputs[0].shape) > 16_000:
        yield "has more than 16,000 elements"


def _of_tensor(tensor: Tensor) -> Iterator[str]:
    if not all(n > 0 for n in tensor.shape):
        yield f"has a tensor without a fixed shape, {tensor.shape}"
    if tensor.constant:
        if tensor.dtype not in ("INT8", "UINT8", "INT32"):
            yield f"has {tensor.dtype} parameters"
        return
    if tensor.dtype not in ("INT8", "UINT8"):
        yield f"works on {tensor.dtype}"
    if any(n != 1 for n in tensor.shape[:-3]):
        yield f"works on a batch or on more than three dimensions, {tensor.shape}"


def _of_mean(operator: Operator) -> Iterator[str]:
    given = operator.inputs[0].shape
    axes = {a % len(given) for a in operator.inputs[1].values}
    if not axes or 0 in axes:
        yield "reduces the batch, or axes that are not constant"
    if len(given) - 1 in axes and given[-1] % 4:
        yield f"reduces {given[-1]} channels, not a multiple of 4"


def _of_dense(operator: Operator) -> Iterator[str]:
    if any(n != 1 for n in operator.outputs[0].shape[:-1]):
        yield f"gives more than one dimension, {operator.outputs[0].shape}"
    if operator.options.get("weightsFormat"):
        yield "has weights in another format than the default one"
    if operator.inputs[1].scales > 1:
        # not on the list: newer than the last compiler, and NNAPI and TFLite Micro refuse it
        yield "has a scale per output, where one for all is needed"


def find_compiler() -> Path:
    """Raises Unavailable, with where it can be had."""
    found = shutil.which(COMPILER)
    if not found:
        raise Unavailable(f"{COMPILER} is not installed: {WHERE}")
    return Path(found)


@dataclass(frozen=True, slots=True)
class Compiled:
    """model: the bytes that an Edge TPU runs. operators: (name, count, what became of them), as the compiler says."""

    model: bytes
    compiler: str
    operators: tuple[tuple[str, int, str], ...]

    @property
    def mapped(self) -> int:
        return sum(n for _, n, status in self.operators if status == MAPPED)

    @property
    def total(self) -> int:
        return sum(n for _, n, _ in self.operators)


def compile_model(model: bytes, compiler: Path) -> Compiled:
    """Run the real compiler. Raises DataError with its own words where it makes nothing of the model."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "model.tflite").write_bytes(model)
        command: list[str | Path] = [compiler, "--show_operations", "--out_dir", place, place / "model.tflite"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILER_LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise DataError(f"{COMPILER} gave no answer in {COMPILER_LIMIT_S} s: leave --edgetpu out") from error
        made, log = place / "model_edgetpu.tflite", place / "model_edgetpu.log"
        if done.returncode or not made.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1]
            raise DataError(f"{COMPILER} cannot compile the model ({said}): leave --edgetpu out, and report its words")
        told = log.read_text() if log.is_file() else done.stdout
        return Compiled(made.read_bytes(), _version(told), tuple(read_log(told)))


def read_log(text: str) -> Iterator[tuple[str, int, str]]:
    """The table of a compiler's log: operator, count, status."""
    for line in text.splitlines():
        found = LOG_LINE.fullmatch(line.strip())
        if found:
            yield found[1], int(found[2]), found[3]


def _version(text: str) -> str:
    found = re.search(r"Edge TPU Compiler version (\S+)", text)
    return f"{COMPILER} {found[1]}" if found else COMPILER
