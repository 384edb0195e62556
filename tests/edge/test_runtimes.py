"""The shipped bundle on both runtimes: LiteRT here, tflite-runtime 2.14 in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.golden import P_TOLERANCE
from edge.places import PACKAGE, SHIPPED_BUNDLE
from edge.records import MASK, NO_MASK
from tests.edge.bundles import DATA, make_bundle
from tests.edge.tpu import FakeTpu, make_tpu_bundle, needs_cc

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


def ask(python: str | Path, *argv: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, *argv], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(answer: dict[str, object]) -> dict[str, str]:
    p_masks, threshold = answer["p_masks"], answer["threshold"]
    assert isinstance(p_masks, dict)
    return {file: MASK if p >= threshold else NO_MASK for file, p in p_masks.items()}


@needs_tflite
def test_both_runtimes_give_the_same_label_for_every_golden_input() -> None:
    here, there = (json.loads(ask(python, "-c", CODE, str(BUNDLE))) for python in (sys.executable, OTHER_PYTHON))
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
    assert f"model.tflite has {size:,} bytes instead of 1,640" in ask(OTHER_PYTHON, "-c", code, str(tmp_path))


@needs_tflite
def test_a_pi_s_opencv_numpy_and_runtime_say_of_pictures_what_ours_do() -> None:
    """OpenCV 4.11, numpy 1 and tflite-runtime have other names for some things: `edge` once did not start there."""
    pictures = [str(DATA / name) for name in ("portrait_bare.jpg", "portrait_mask.jpg", "two_people.jpg")]
    argv = ["-m", "edge", "classify", *pictures, "--json", "--detector", "centerface"]
    told = [ask(python, *argv) for python in (sys.executable, OTHER_PYTHON)]
    here, there = ([[f["label"] for f in json.loads(line)["faces"]] for line in out.splitlines()] for out in told)
    assert here == there == [["no_mask"], ["mask"], ["no_mask", "mask"]]


@needs_tflite
def test_a_pi_s_opencv_numpy_and_runtime_run_a_folder_of_pictures_to_its_events(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes((DATA / "portrait_mask.jpg").read_bytes())
    argv = ["-m", "edge", "run", "--source", str(tmp_path), "--sink", "jsonl:-", "--pace", "max"]
    lines = ask(OTHER_PYTHON, *argv, "--detector", "centerface").splitlines()
    told = [(event["type"], event["label"]) for event in map(json.loads, lines)]
    assert told == [("decided", "mask"), ("left", "mask")]


@needs_tflite
@needs_cc
@pytest.mark.parametrize("mode", ["run-error", "run-segfault", "run-abort"])
def test_tflite_runtime_takes_an_edge_tpu_and_does_not_die_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    FakeTpu(tmp_path, monkeypatch)
    code = """
import os, sys
from pathlib import Path
from edge.accelerator import open_judge
from edge.bundle import load_bundle
from edge.records import Box
from tests.edge.bundles import GREEN_BGR, plain
judge = open_judge(load_bundle(Path(sys.argv[1])), "auto")
print(judge.runtime, judge.tend())
Path(os.environ["FAKE_EDGETPU"]).write_text(sys.argv[2])
print(judge.read(plain(GREEN_BGR, 50, 50), Box(10, 10, 30, 30)).p_mask > 0.9, judge.runtime, judge.tend())
judge.close()
"""
    first, then = ask(OTHER_PYTHON, "-c", code, str(make_tpu_bundle(tmp_path / "bundle")), mode).splitlines()
    assert re.fullmatch(r"tflite-runtime 2\.14\.\S+, libedgetpu\.so\.1 None", first)
    assert re.fullmatch(r"True tflite-runtime 2\.14\.\S+ lost", then)
