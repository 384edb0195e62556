"""The TFLite runtime; the only file that imports one.

LiteRT and tflite-runtime have the same ``Interpreter``; which one is there depends on machine and Python
(docs/dependencies.md). A runtime that imports may still fail at the first interpreter (tflite-runtime with numpy 2),
so a model is run once before it is called loaded.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import DataError, Unavailable

RUNTIMES: Final = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a model says of one of its tensors: shape with the batch first, numpy's name of the dtype, and
    ``real = scale * (quantised - zero_point)``."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


def find_runtime() -> tuple[Any, str]:
    """The runtime's module and its name with version. Raises Unavailable where none is installed."""
    for module, package in RUNTIMES:
        try:
            return importlib.import_module(module), f"{package} {importlib.metadata.version(package)}"
        except ImportError:
            continue
    raise Unavailable("no TFLite runtime is installed", "pip install ai-edge-litert (or tflite-runtime on Python 3.11)")


class Interpreter:
    """One model in memory: one input, one output.

    model: the bytes of a verified .tflite file (a truncated one kills tflite-runtime with SIGSEGV: check first).
    threads: CPU threads of one call. delegate: of ``load_delegate``, for what it can take of the model.
    Raises DataError for what is no such model.
    """

    def __init__(self, model: bytes, threads: int = 1, delegate: Any = None) -> None:
        module, self.runtime = find_runtime()
        with refusing(self.runtime), hushed():
            self._interpreter = module.Interpreter(
                model_content=model, num_threads=threads, experimental_delegates=[delegate] if delegate else None
            )
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise DataError(f"model has {len(inputs)} inputs and {len(outputs)} outputs", "one of each is needed")
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = describe(inputs[0]), describe(outputs[0])
        with refusing(self.runtime):
            self.run(np.zeros(self.input.shape, self.input.dtype))

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """batch: of the input's shape and dtype. Returns a copy of the output, of its shape and dtype."""
        self._interpreter.set_tensor(self._input_index, batch)
        self._interpreter.invoke()
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output_index)
        return output


def load_delegate(library: str) -> Any:
    """An accelerator's delegate, by the name of its shared library. Raises OSError where the library cannot be loaded,
    ValueError where it finds no device. A library may also end this process, or never return."""
    return find_runtime()[0].load_delegate(library)


@contextmanager
def hushed() -> Iterator[None]:
    """Keep a runtime's own greetings ("INFO: Created ... delegate") off stderr: they come from C++, past any logger."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextmanager
def refusing(runtime: str) -> Iterator[None]:
    """Turn what the runtimes raise for a model they cannot run into one error of ours."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise DataError(f"model cannot be run by {runtime}: {reason}") from error
    except SystemError as error:
        raise Unavailable(f"{runtime} is broken here", f"with numpy {np.__version__} it needs numpy < 2") from error


def describe(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(n) for n in detail["shape"])
    return Tensor(shape, np.dtype(detail["dtype"]).name, float(scale), int(zero_point))
