import stat
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import DataError, Unavailable
from tests.edge.bundles import DATA
from trainer.ship.edgetpu import (
    MAPPED,
    Operator,
    Tensor,
    compile_model,
    find_compiler,
    obstacles,
    read_log,
    read_operators,
)
from trainer.ship.exported import Export

FACE = Tensor("face", (1, 8, 8, 4), "INT8", 1, constant=False)
KERNEL = Tensor("kernel", (4, 3, 3, 4), "INT8", 4, constant=True)
LOGITS = Tensor("logits", (1, 3), "INT8", 1, constant=False)
AXES = Tensor("axes", (2,), "INT32", 0, constant=True, values=(1, 2))
POOLED = Tensor("pooled", (1, 4), "INT8", 1, constant=False)
DENSE = Tensor("dense", (3, 4), "INT8", 1, constant=True)
# As edgetpu_compiler 16.0 writes it.
LOG = """Edge TPU Compiler version 16.0.384591198
Input: model.tflite
Output: model_edgetpu.tflite

Operator                       Count      Status

CONV_2D                        35         Mapped to Edge TPU
QUANTIZE                       1          Mapped to Edge TPU
QUANTIZE                       1          Operation version not supported
"""


def changed(tensor: Tensor, **changes: object) -> Tensor:
    return replace(tensor, **changes)  # type: ignore[arg-type]


def test_our_own_export_is_ready(made: Export) -> None:
    operators = read_operators(made.model)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED", "QUANTIZE"} <= {o.name for o in operators}
    assert obstacles(operators) == []


def test_a_float_model_is_not_ready() -> None:
    found = obstacles(read_operators((DATA / "tiny_float.tflite").read_bytes()))
    assert any("works on FLOAT32" in line for line in found)


OBSTACLES = {
    "is not on the list": Operator("LEAKY_RELU", (FACE,), (FACE,), {}),
    "without a fixed shape": Operator("RELU6", (changed(FACE, shape=(1, -1, -1, 4)),), (FACE,), {}),
    "more than three dimensions": Operator("RELU6", (changed(FACE, shape=(2, 8, 8, 4)),), (FACE,), {}),
    "not constant": Operator("CONV_2D", (FACE, changed(KERNEL, constant=False)), (FACE,), {}),
    "FLOAT16 parameters": Operator("CONV_2D", (FACE, changed(KERNEL, dtype="FLOAT16")), (FACE,), {}),
    "dilated otherwise": Operator("CONV_2D", (FACE, KERNEL), (FACE,), {"dilationWFactor": 2, "dilationHFactor": 1}),
    "fused activation": Operator("AVERAGE_POOL_2D", (FACE,), (FACE,), {"fusedActivationFunction": 3}),
    "reduces the batch": Operator("MEAN", (FACE, changed(AXES, values=(0, 1))), (POOLED,), {}),
    "not a multiple of 4": Operator(
        "MEAN", (changed(FACE, shape=(1, 8, 8, 3)), changed(AXES, values=(-1,))), (POOLED,), {}
    ),
    "a scale per output": Operator("FULLY_CONNECTED", (POOLED, changed(DENSE, scales=3)), (LOGITS,), {}),
    "another format": Operator("FULLY_CONNECTED", (POOLED, DENSE), (LOGITS,), {"weightsFormat": 1}),
    "more than one dimension": Operator("FULLY_CONNECTED", (POOLED, DENSE), (changed(LOGITS, shape=(4, 3)),), {}),
    "more than 16,000": Operator("SOFTMAX", (changed(POOLED, shape=(1, 20_000)),), (POOLED,), {}),
}


@pytest.mark.parametrize("reason", OBSTACLES)
def test_each_published_limit_is_an_obstacle(reason: str) -> None:
    found = obstacles([OBSTACLES[reason]])
    assert any(reason in line for line in found)


def test_what_keeps_the_limits_is_none() -> None:
    good = [
        Operator("CONV_2D", (FACE, KERNEL), (FACE,), {"dilationWFactor": 1, "dilationHFactor": 1}),
        Operator("MEAN", (FACE, AXES), (POOLED,), {}),
        Operator("FULLY_CONNECTED", (POOLED, DENSE), (LOGITS,), {"weightsFormat": 0}),
    ]
    assert obstacles(good) == []


def test_a_compiler_s_log_is_read_by_operator() -> None:
    table = list(read_log(LOG))
    assert table[0] == ("CONV_2D", 35, MAPPED)
    assert [n for _, n, _ in table] == [35, 1, 1]
    assert table[2][2] == "Operation version not supported"


def stand_in(folder: Path, script: str) -> Path:
    """The real compiler cannot be had here: a script that takes its arguments and leaves its files."""
    compiler = folder / "edgetpu_compiler"
    compiler.write_text(f"#!/bin/sh\n{script}")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    return compiler


def test_a_compiled_model_comes_with_what_became_of_each_operator(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    script = f'cp {tmp_path}/log "$3/model_edgetpu.log"; (printf TPU; cat "$4") > "$3/model_edgetpu.tflite"\n'
    compiled = compile_model(b"model", stand_in(tmp_path, script))
    assert compiled.model == b"TPUmodel"
    assert compiled.compiler == "edgetpu_compiler 16.0.384591198"
    assert (compiled.mapped, compiled.total) == (36, 37)


def test_a_compiler_that_makes_nothing_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Model not quantized"):
        compile_model(
            b"model", stand_in(tmp_path, "echo Invalid model: model.tflite; echo Model not quantized; exit 1\n")
        )


def test_a_compiler_that_is_not_there_is_named_with_where_it_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="coral-edgetpu-stable"):
        find_compiler()
