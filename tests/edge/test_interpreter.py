"""The runtime behind its one door: what it says of a model, and what it refuses."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge import interpreter
from edge.errors import DataError, Unavailable
from edge.interpreter import Interpreter, find_runtime
from tests.edge.bundles import FLOAT_MODEL, GREEN_BGR, MODEL, RED_BGR, plain


def test_a_model_tells_its_tensors() -> None:
    model = Interpreter(MODEL)
    assert (model.input.shape, model.input.dtype, model.input.zero_point) == ((1, 8, 8, 3), "uint8", 127)
    assert (model.output.shape, model.output.dtype, model.output.zero_point) == ((1, 3), "uint8", 85)
    assert model.input.scale == pytest.approx(2 / 255)


def test_a_float_model_is_described_as_what_it_is() -> None:
    assert Interpreter(FLOAT_MODEL).input.dtype == "float32"


def test_a_model_gives_an_answer_of_its_shape_and_dtype() -> None:
    answer = Interpreter(MODEL).run(plain(GREEN_BGR)[np.newaxis])
    assert (answer.shape, answer.dtype.name) == ((1, 3), "uint8")
    assert answer.argmax() == 0


def test_an_answer_stays_when_the_next_one_comes() -> None:
    model = Interpreter(MODEL)
    first = model.run(plain(GREEN_BGR)[np.newaxis])
    kept = first.copy()
    model.run(plain((0, 0, 0))[np.newaxis])
    assert np.array_equal(first, kept)


def test_any_number_of_threads_gives_the_same_answer() -> None:
    crop = plain(RED_BGR)[np.newaxis]
    assert np.array_equal(Interpreter(MODEL, threads=1).run(crop), Interpreter(MODEL, threads=4).run(crop))


@pytest.mark.parametrize("model", [b"", b"not a model at all, but text", bytes(2000)], ids=["empty", "text", "zeros"])
def test_what_is_no_model_is_a_data_error_of_one_line(model: bytes) -> None:
    with pytest.raises(DataError, match=r"model cannot be run by .*: ") as caught:
        Interpreter(model)
    assert "\n" not in str(caught.value)


def test_the_runtime_in_use_is_named_with_its_version() -> None:
    name, version = find_runtime()[1].split(" ")
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert version[0].isdigit()


def test_the_second_runtime_is_taken_where_the_first_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here = find_runtime()
    module = here[0].__name__
    monkeypatch.setattr(interpreter, "RUNTIMES", (("no_such_runtime", "none"), (module, here[1].split(" ")[0])))
    assert find_runtime() == here


def test_without_a_runtime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "RUNTIMES", (("no_such_runtime", "none"),))
    with pytest.raises(Unavailable, match="no TFLite runtime is installed: pip install ai-edge-litert"):
        Interpreter(MODEL)


def with_runtime(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setitem(sys.modules, "fake_runtime", SimpleNamespace(Interpreter=kind))
    monkeypatch.setattr(interpreter, "RUNTIMES", (("fake_runtime", "numpy"),))
    assert importlib.import_module("fake_runtime").Interpreter is kind


def test_a_runtime_that_numpy_2_broke_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise SystemError("<built-in function ...> returned a result with an exception set")

    with_runtime(monkeypatch, broken)
    with pytest.raises(Unavailable, match=r"is broken here: with numpy \S+ it needs numpy < 2"):
        Interpreter(MODEL)


def test_a_model_that_fails_at_its_first_run_is_refused_before_it_counts_as_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class FailsToRun(find_runtime()[0].Interpreter):  # type: ignore[misc]
        def invoke(self) -> None:
            raise RuntimeError("Node number 3 (CONV_2D) failed to invoke.")

    with_runtime(monkeypatch, FailsToRun)
    with pytest.raises(DataError, match="Node number 3"):
        Interpreter(MODEL)


def test_a_model_of_two_outputs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoOutputs(find_runtime()[0].Interpreter):  # type: ignore[misc]
        def get_output_details(self) -> list[Any]:
            return [*super().get_output_details()] * 2

    with_runtime(monkeypatch, TwoOutputs)
    with pytest.raises(DataError, match="model has 1 inputs and 2 outputs: one of each is needed"):
        Interpreter(MODEL)
