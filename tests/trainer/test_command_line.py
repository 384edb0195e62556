"""The whole way on drawn people, small enough for every run of the tests: prepare, train, export, evaluate."""

import json
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

import trainer.commands
from edge.bundle import load_bundle
from edge.classify import Classifier
from edge.golden import check_golden
from edge.interpreter import Tensor
from edge.opencv import cv2
from edge.preprocess import crop_face
from tests.trainer.drawn import BOX, DrawnFaceFinder, person, photo_set
from trainer.__main__ import main
from trainer.faces.crops import read_context
from trainer.faces.manifest import read_manifest, write_manifest
from trainer.judge.evaluate import answers, faces
from trainer.judge.models import open_model
from trainer.metrics import Calibration, probabilities
from trainer.ship.bundle import Naming, write_bundle
from trainer.ship.exported import Export

TINY = ["--weights", "random", "--input-px", "32", "--alpha", "0.35", "--draws", "16", "--batch", "8", "--epochs", "1"]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``set``, ``run`` and ``bundle`` made by the commands."""
    root = tmp_path_factory.mktemp("way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.commands.prepare, "open_detector", lambda _name, _file: DrawnFaceFinder())
        assert main(["prepare", str(photo_set(root / "photos", people=10)), "--out", str(root / "set")]) == 0
    assert main(["train", str(root / "set"), "--out", str(root / "run"), *TINY]) == 0
    (root / "golden").mkdir()
    cv2.imwrite(str(root / "golden" / "drawn.png"), crop_face(person("mask"), BOX, 0.2, 32)[:, :, ::-1])
    command = ["export", str(root / "run"), "--int8", "--data", str(root / "set"), "--out", str(root / "bundle")]
    assert main([*command, "--name", "drawn", "--golden", str(root / "golden")]) == 0
    return root


def test_exported_bundle_loads_and_passes_its_own_test(way: Path) -> None:
    bundle = load_bundle(way / "bundle")
    assert bundle.tag.startswith("drawn@")
    assert bundle.input.scale == pytest.approx(1 / 127.5, rel=1e-4)
    assert bundle.input.zero_point in (127, 128)
    assert "1 golden inputs agree" in check_golden(way / "bundle")


def test_trainer_and_edge_give_the_same_answer_for_the_same_face(way: Path) -> None:
    rows = faces(way / "set", "all")[:5]
    judged = open_model(way / "bundle")
    by_trainer = probabilities(answers(judged, way / "set", rows), judged.calibration)[:, 0]
    classifier = Classifier(load_bundle(way / "bundle"))
    by_edge = [classifier.read(read_context(way / "set", r), r.box).p_mask for r in rows]
    assert by_edge == pytest.approx(by_trainer.tolist(), abs=1e-6)


def test_bundle_names_no_path_of_this_machine(way: Path) -> None:
    for name in ("bundle.json", "CARD.md"):
        assert str(way) not in (way / "bundle" / name).read_text()


def test_evaluate_prints_what_the_contract_promises(way: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(way / "bundle"), "--data", str(way / "set"), "--split", "all", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"n", "balanced_accuracy", "per_class", "ece", "ci95", "slices", "model"} <= set(said)
    assert said["n"] == len(faces(way / "set", "all"))
    assert said["model"].startswith("drawn@")


@pytest.mark.parametrize("model", ["run", "bundle/model.tflite"])
def test_float_run_and_bare_model_can_be_judged_too(way: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(way / model), "--data", str(way / "set")]) == 0
    assert "balanced" in capsys.readouterr().out


def test_run_that_is_done_has_nothing_left_to_resume(way: Path) -> None:
    figures = json.loads((way / "run" / "run.json").read_text())["figures"]
    assert main(["train", str(way / "set"), "--out", str(way / "run"), "--resume"]) == 0
    assert json.loads((way / "run" / "run.json").read_text())["figures"] == figures


def test_new_bundle_replaces_the_old_one_and_leaves_nothing_beside_it(way: Path, tmp_path: Path) -> None:
    old = load_bundle(way / "bundle")
    made = Export(
        old.model, Tensor(*astuple(old.input)), Tensor(*astuple(old.output)), Calibration(), 0.6, FIGURES, FIGURES, 1.0
    )
    for version in ("1", "2"):
        write_bundle(made, way / "run", way / "set", Naming("again", version, way / "golden"), tmp_path / "again")
    assert load_bundle(tmp_path / "again").version == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


FIGURES = {
    "n": 2,
    "balanced_accuracy": 1.0,
    "ci95": [1.0, 1.0],
    "per_class": {"mask": {"n": 1, "recall": 1.0}, "no_mask": {"n": 1, "recall": None}},
    "incorrect_called_mask": None,
    "ece": 0.0,
    "threshold": 0.5,
    "slices": {},
}
MISTAKES = {
    "no command": ([], 64),
    "unknown command": (["tarin"], 64),
    "option without value": (["train", "{set}", "--out"], 64),
    "export of two kinds": (["export", "{run}", "--int8", "--float16", "--data", "{set}", "--out", "{new}"], 64),
    "bad bundle name": (["export", "{run}", "--int8", "--data", "{set}", "--out", "{new}", "--name", "My Model"], 64),
    "photos that are not there": (["prepare", "{new}", "--out", "{new}2"], 66),
    "set that is not there": (["train", "{new}", "--out", "{new}2", "--weights", "random"], 66),
    "weights that are not there": (["train", "{set}", "--out", "{new}", "--weights", "{new}.h5"], 66),
    "run that is not there": (["export", "{new}", "--int8", "--data", "{set}", "--out", "{new}2"], 66),
    "resume of nothing": (["train", "{set}", "--out", "{new}", "--resume"], 66),
    "model that is not there": (["evaluate", "{new}", "--data", "{set}"], 66),
    "model that is a photo": (["evaluate", "{photo}", "--data", "{set}"], 65),
    "split that is not there": (["evaluate", "{bundle}", "--data", "{set}", "--split", "mine"], 64),
    "run folder that is taken": (["train", "{set}", "--out", "{run}", "--weights", "random"], 73),
    "set folder that is taken": (["prepare", "{photos}", "--out", "{set}"], 73),
    "bundle folder that is something else": (["export", "{run}", "--int8", "--data", "{set}", "--out", "{photos}"], 73),
    "golden folder without crops": (
        ["export", "{run}", "--int8", "--data", "{set}", "--out", "{new}", "--golden", "{run}"],
        66,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_with_its_exit_code(
    way: Path, tmp_path: Path, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, code = MISTAKES[mistake]
    named = {name: way / name for name in ("set", "run", "bundle", "photos")} | {"new": tmp_path / "new"}
    named["photo"] = way / "photos" / "with_mask0.png"
    capsys.readouterr()
    assert main([part.format(**named) for part in command]) == code
    said = capsys.readouterr().err
    assert said.startswith("trainer: ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "new").exists() or "bundle" not in mistake


def test_set_of_one_class_is_refused(way: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").mkdir()
    write_manifest(tmp_path / "set", [r for r in read_manifest(way / "set") if r.label == "mask"])
    assert main(["train", str(tmp_path / "set"), "--out", str(tmp_path / "run"), "--weights", "random"]) == 65
    assert "both mask and no_mask" in capsys.readouterr().err


def test_version_and_help_answer_without_tensorflow() -> None:
    script = (
        "import sys; from trainer.__main__ import main\n"
        "commands = ('prepare', 'train', 'export', 'evaluate', 'report')\n"
        "assert not any([main(['--version']), main(['--help']), *(main([c, '--help']) for c in commands)])\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("trainer ")
    assert done.stdout.count("Example: trainer") == 6


def test_missing_extra_is_named_with_its_remedy() -> None:
    script = "import sys; sys.modules['typer'] = None\nfrom trainer.__main__ import main\nsys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert done.stderr == "trainer: typer is not installed: pip install 'mask-edge[trainer]'\n"


def test_device_package_never_imports_the_trainer() -> None:
    script = (
        "import pkgutil, importlib, sys, edge\n"
        "for m in pkgutil.walk_packages(edge.__path__, 'edge.'):\n"
        "    if not m.name.endswith('__main__'):\n"
        "        try: importlib.import_module(m.name)\n"
        "        except ImportError: pass\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('trainer', 'tensorflow', 'typer', 'rich')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
