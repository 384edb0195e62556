"""The shipped bundle on both runtimes: LiteRT here, tflite-runtime 2.14 in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.golden import P_TOLERANCE
from edge.places import PACKAGE, SHIPPED_BUNDLE
from edge.records import MASK, NO_MASK
from tests.edge.bundles import make_bundle

ROOT = PACKAGE.parent
BUNDLE = ROOT / "models" / SHIPPED_BUNDLE
OTHER_PYTHON = ROOT / ".venv-tflite" / "bin" / "python"
# Runs in both environments, so that they cannot differ in more than the runtime.
CODE = """
import json, sys
from pathlib import Path
from edge.bundle import load_bundle
from edge.classify import Classifier
from edge.golden import check_golden, read_golden
path = Path(sys.argv[1])
check_golden(path)
bundle = load_bundle(path)
classifier = Classifier(bundle)
p_masks = {case.file: classifier.read_crop(crop).p_mask for case, crop in read_golden(bundle)}
print(json.dumps({"runtime": classifier.runtime, "threshold": bundle.threshold, "p_masks": p_masks}))
"""

needs_tflite = pytest.mark.skipif(
    not OTHER_PYTHON.exists(),
    reason="no .venv-tflite: tflite-runtime has wheels for Python 3.11 only"
    if sys.version_info[:2] != (3, 11)
    else "no .venv-tflite: make .venv-tflite/.done",
)


def ask(python: str | Path, code: str, bundle: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [str(python), "-c", code, str(bundle)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(answer: dict[str, object]) -> dict[str, str]:
    p_masks, threshold = answer["p_masks"], answer["threshold"]
    assert isinstance(p_masks, dict)
    return {file: MASK if p >= threshold else NO_MASK for file, p in p_masks.items()}


@needs_tflite
def test_both_runtimes_give_the_same_label_for_every_golden_input() -> None:
    here, there = (json.loads(ask(python, CODE, BUNDLE)) for python in (sys.executable, OTHER_PYTHON))
    assert here["runtime"].startswith("ai-edge-litert ")
    assert there["runtime"].startswith("tflite-runtime 2.14.")
    assert labels(here) == labels(there)
    assert set(labels(here).values()) == {MASK, NO_MASK}
    assert here["p_masks"] == pytest.approx(there["p_masks"], abs=P_TOLERANCE)  # kernels differ by a few counts


@needs_tflite
@pytest.mark.parametrize("size", [0, 7, 1000, 1639])
def test_a_truncated_model_is_an_error_of_ours_and_not_the_death_of_tflite_runtime(tmp_path: Path, size: int) -> None:
    os.truncate(make_bundle(tmp_path) / "model.tflite", size)
    code = """
import sys
from pathlib import Path
from edge.errors import DataError
from edge.golden import check_golden
try:
    check_golden(Path(sys.argv[1]))
except DataError as error:
    print(error)
"""
    assert f"model.tflite has {size:,} bytes instead of 1,640" in ask(OTHER_PYTHON, code, tmp_path)
