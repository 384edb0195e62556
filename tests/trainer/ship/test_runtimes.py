from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import DataError, InputMissing
from edge.interpreter import Interpreter
from edge.places import checkout
from tests.edge.bundles import DATA
from trainer.judge.models import raw_answers
from trainer.metrics import Calibration
from trainer.ship import gates, runtimes
from trainer.ship.exported import Reading, runtime_gate
from trainer.ship.runtimes import Said, find_tflite_python, plain_kernels, tflite_runtime

MODEL = (DATA / "tiny_uint8.tflite").read_bytes()
CROPS = np.random.default_rng(4).integers(0, 255, (6, 8, 8, 3), np.uint8)
READING = Reading(Interpreter(MODEL).output, Calibration(), 0.5)
P_MASKS = np.full(len(CROPS), 0.5)
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
@pytest.mark.parametrize("broken", [MODEL[:700], b"no model"])
def test_a_model_that_breaks_tflite_runtime_fails_its_gate(broken: bytes) -> None:
    said = tflite_runtime(broken, CROPS, find_tflite_python(None))
    assert said.raw is None
    gate = runtime_gate(said, P_MASKS, READING)
    assert (gate.verdict, gate.found) == (gates.FAIL, "no answer")
    assert gate.note
    with pytest.raises(DataError, match="labels on tflite-runtime no answer"):
        gates.refuse([gate])


def test_a_runtime_that_hangs_fails_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "CHILD_LIMIT_S", 0.2)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    said = tflite_runtime(MODEL, CROPS, python)
    assert runtime_gate(said, P_MASKS, READING).verdict == gates.FAIL


def test_without_an_environment_the_gate_is_not_run_and_says_how_to_get_one() -> None:
    gate = runtime_gate(tflite_runtime(MODEL, CROPS, None), P_MASKS, READING)
    assert gate.verdict == gates.NOT_RUN
    assert "make .venv-tflite/.done" in gate.note


def test_a_python_without_the_runtime_is_no_environment() -> None:
    root = checkout()
    assert root
    gate = runtime_gate(tflite_runtime(MODEL, CROPS, root / ".venv" / "bin" / "python"), P_MASKS, READING)
    assert gate.verdict == gates.NOT_RUN
    assert "tflite_runtime" in gate.detail


def test_a_python_that_does_not_start_is_no_environment_and_its_path_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("")
    gate = runtime_gate(tflite_runtime(MODEL, CROPS, tmp_path / "python"), P_MASKS, READING)
    assert gate.verdict == gates.NOT_RUN
    assert str(tmp_path) in gate.detail
    assert str(tmp_path) not in str(gate.as_json())


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="--tflite-python"):
        find_tflite_python(tmp_path / "python")
