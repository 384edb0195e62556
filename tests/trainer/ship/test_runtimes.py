from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import InputMissing
from edge.interpreter import Interpreter
from edge.places import checkout
from tests.edge.bundles import DATA
from trainer.judge.models import raw_answers
from trainer.ship.runtimes import Said, find_tflite_python, plain_kernels, tflite_runtime

MODEL = (DATA / "tiny_uint8.tflite").read_bytes()
CROPS = np.random.default_rng(4).integers(0, 255, (6, 8, 8, 3), np.uint8)
needs_tflite = pytest.mark.skipif(find_tflite_python(None) is None, reason="no .venv-tflite: make .venv-tflite/.done")


def raw_of(said: Said) -> npt.NDArray[Any]:
    assert said.raw is not None
    return said.raw


def test_plain_kernels_answer_as_the_default_ones_do() -> None:
    said = plain_kernels(MODEL, CROPS)
    assert said.runtime.endswith("plain kernels")
    assert np.abs(raw_of(said).astype(int) - raw_answers(Interpreter(MODEL), CROPS)).max() <= 1


@needs_tflite
def test_tflite_runtime_answers_from_its_own_environment() -> None:
    said = tflite_runtime(MODEL, CROPS, find_tflite_python(None))
    assert said.runtime.startswith("tflite-runtime 2.14.")
    assert raw_of(said).tobytes() == raw_of(plain_kernels(MODEL, CROPS)).tobytes()


@needs_tflite
def test_a_model_that_kills_tflite_runtime_is_no_answer() -> None:
    said = tflite_runtime(MODEL[:700], CROPS, find_tflite_python(None))
    assert said.raw is None
    assert said.why_not


def test_no_environment_is_no_answer_and_says_how_to_get_one() -> None:
    said = tflite_runtime(MODEL, CROPS, None)
    assert said.raw is None
    assert "make .venv-tflite/.done" in said.why_not


def test_a_python_without_the_runtime_is_no_answer() -> None:
    root = checkout()
    assert root
    said = tflite_runtime(MODEL, CROPS, root / ".venv" / "bin" / "python")
    assert said.raw is None
    assert "tflite_runtime" in said.why_not


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="--tflite-python"):
        find_tflite_python(tmp_path / "python")
