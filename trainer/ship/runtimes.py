"""The same model on every runtime that devices have: what each says of the same crops.

LiteRT uses XNNPACK's kernels where it may, plain ones where it may not; tflite-runtime 2.14 (a Pi with Debian 12) lives
in an environment of its own, as it needs numpy 1, and is asked in a child process.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import InputMissing
from edge.interpreter import find_runtime, hushed, refusing
from edge.places import checkout

CHILD: Final = Path(__file__).with_name("tflite_child.py")
CHILD_LIMIT_S: Final = 900
WITHOUT_RUNTIME: Final = 69  # how the child ends where it cannot import the runtime
PLAIN_KERNELS: Final = "plain kernels"
ABSENT: Final = "make .venv-tflite/.done in the source tree, or --tflite-python"


@dataclass(frozen=True, slots=True)
class Said:
    """runtime: name and version. raw: (n, labels) answers in the model's own numbers, or None and the reason.

    asked: whether there was a runtime to ask; where it was asked and raw is None, the model is at fault.
    words: what the runtime said, for the terminal only: it may hold paths of this machine.
    """

    runtime: str
    raw: npt.NDArray[Any] | None
    why_not: str = ""
    asked: bool = True
    words: str = ""


def find_tflite_python(given: Path | None) -> Path | None:
    """The Python of the environment with tflite-runtime, or None. Raises InputMissing where the given one is not."""
    if given:
        if not given.is_file():
            raise InputMissing(f"no Python at {given}: --tflite-python takes one that has tflite-runtime")
        return given
    root = checkout()
    usual = root / ".venv-tflite" / "bin" / "python" if root else None
    return usual if usual and usual.is_file() else None


def plain_kernels(model: bytes, inputs: npt.NDArray[Any]) -> Said:
    """LiteRT without its default delegates: the kernels that boards without XNNPACK have."""
    module, name = find_runtime()
    resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with refusing(name), hushed():
        interpreter = module.Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
        place, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        answers = []
        for each in inputs:
            interpreter.set_tensor(place, each[np.newaxis])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(out)[0])
    return Said(f"{name}, {PLAIN_KERNELS}", np.stack(answers))


def tflite_runtime(model: bytes, inputs: npt.NDArray[Any], python: Path | None) -> Said:
    """tflite-runtime in a child process of another Python. A child that dies of a model is an answer too: none."""
    name = "tflite-runtime"
    if python is None:
        return Said(name, None, f"no environment with it: {ABSENT}", asked=False)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "model.tflite").write_bytes(model)
        np.save(place / "inputs.npy", inputs)
        try:
            # -I: our own packages, and numpy 2 with them, stay out of its way
            done = subprocess.run(
                [python, "-I", CHILD, place], capture_output=True, text=True, timeout=CHILD_LIMIT_S, check=False
            )
        except OSError as error:
            return Said(name, None, f"its Python does not start: {ABSENT}", asked=False, words=str(error))
        except subprocess.TimeoutExpired:
            return Said(name, None, f"no answer in {CHILD_LIMIT_S} s")
        words = _last_line(done.stderr)
        if done.returncode == WITHOUT_RUNTIME:
            return Said(name, None, f"its Python lacks it: {ABSENT}", asked=False, words=words)
        if done.returncode:
            return Said(name, None, _end(done.returncode), words=words)
        return Said(done.stdout.strip(), np.load(place / "answers.npy"))


def _end(code: int) -> str:
    """What became of a child."""
    return f"the model ended it: {signal.strsignal(-code)}" if code < 0 else "it failed on the model"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
