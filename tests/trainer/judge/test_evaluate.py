import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.edge.bundles import FLOAT_MODEL, INPUT, MODEL, OUTPUT, make_bundle
from tests.trainer.judge.coloured import Face, coloured_set
from trainer.__main__ import main
from trainer.judge.evaluate import as_json, faces, report, report_of
from trainer.metrics import Calibration, probabilities


def judged(model: Path, data: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    capsys.readouterr()
    assert main(["evaluate", str(model), "--data", str(data), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_object_says_what_the_contract_promises(bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = judged(bundle, faces, capsys)
    assert {"n", "balanced_accuracy", "per_class", "ece", "ci95", "slices", "model"} <= set(said)
    assert said["n"] == 72  # held out, of both sources
    assert {label: own["count"] for label, own in said["per_class"].items()} == dict.fromkeys(
        ("mask", "no_mask", "incorrect"), 24
    )
    assert said["per_class"]["mask"]["recall"] == pytest.approx(20 / 24, abs=1e-4)
    assert said["per_class"]["incorrect"]["recall"] == pytest.approx(22 / 24, abs=1e-4)
    assert said["balanced_accuracy"] == pytest.approx((20 / 24 + 22 / 24) / 2, abs=1e-4)
    low, high = said["ci95"]
    assert low < said["balanced_accuracy"] < high
    assert said["model"].startswith("tiny@")


def test_confusion_counts_every_face_once(bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    confusion = judged(bundle, faces, capsys)["confusion"]
    assert confusion["mask_or_not"] == {
        "mask": {"mask": 20, "no_mask": 4},
        "no_mask": {"mask": 2, "no_mask": 22},
        "incorrect": {"mask": 2, "no_mask": 22},
    }
    assert confusion["three_labels"]["incorrect"] == {"mask": 2, "no_mask": 0, "incorrect": 22}


def test_costs_given_are_those_of_the_sweep(bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = judged(bundle, faces, capsys, "--cost-missed", "3", "--cost-worn", "0.5")["sweep"]
    assert sweep["used"]["threshold"] == 0.5
    assert sweep["used"]["cost"] == pytest.approx(4 / 24 + 3 * 2 / 24 + 0.5 * 2 / 24, abs=1e-4)
    assert sweep["cheapest"]["cost"] <= sweep["used"]["cost"]


def test_slices_by_what_is_seen_are_there_with_intervals(
    bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = judged(bundle, faces, capsys)["slices"]
    assert {"bare:beard", "bare:all_of_these", "badly_worn", "source:circle", "face_px:48-96"} <= set(slices)
    kinds = {name.partition(":")[0] for name in slices}
    assert {"sharpness", "light", "skin", "mask_colour"} <= kinds
    for own in slices.values():
        for share in ("mask_recall", "no_mask_recall", "incorrect_called_mask"):
            low, high = own["ci95"][share]
            assert (own[share] is None) == (low is None)
            assert own[share] is None or low <= own[share] <= high


@pytest.mark.parametrize(("split", "n"), [("held_out", 72), ("train", 72), ("all", 144)])
def test_split_chooses_the_faces(
    split: str, n: int, bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(bundle, faces, capsys, "--split", split)["n"] == n


def test_table_for_people_names_the_threshold_in_use(
    bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(bundle), "--data", str(faces)]) == 0
    out = capsys.readouterr().out
    assert "in use" in out
    assert "badly worn called mask" in out
    assert max(map(len, out.splitlines())) <= 180


@pytest.mark.parametrize("only", ["mask", "no_mask", "incorrect"])
def test_set_of_one_class_has_null_for_what_needs_two(
    only: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = judged(bundle, coloured_set(tmp_path / "one", [Face(only)] * 5), capsys)
    assert (said["balanced_accuracy"], said["ci95"], said["roc_auc"]) == (None, [None, None], None)
    assert said["curves"]["precision_recall"] is None
    assert any("undefined" in note for note in said["notes"])
    assert list(said["per_class"]) == [only]


def test_float_model_is_given_what_its_network_was_trained_with(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(FLOAT_MODEL)
    assert judged(path, faces, capsys)["per_class"]["mask"]["recall"] == pytest.approx(20 / 24, abs=1e-4)


def test_model_file_of_a_bundle_is_judged_as_the_bundle_is(
    bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(bundle / "model.tflite", faces, capsys) == judged(bundle, faces, capsys)


def test_float_bundle_can_be_judged_though_no_device_runs_it(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents, dtypes = {"model.tflite": FLOAT_MODEL}, {"dtype": "float32", "scale": 0.0, "zero_point": 0}
    folder = make_bundle(tmp_path, contents, input={**INPUT, **dtypes}, output={**OUTPUT, **dtypes})
    assert judged(folder, faces, capsys)["per_class"]["mask"]["recall"] == pytest.approx(20 / 24, abs=1e-4)


def test_worst_mistakes_are_drawn_and_said_to_be_private(
    bundle: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(bundle), "--data", str(faces), "--worst", str(tmp_path / "worst.jpg")]) == 0
    assert (tmp_path / "worst.jpg").stat().st_size > 5000
    assert "8 surest mistakes; contains pictures of people: do not pass on" in capsys.readouterr().err


def test_no_mistake_makes_no_picture(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = coloured_set(tmp_path / "right", [Face("mask"), Face("no_mask")])
    assert main(["evaluate", str(bundle), "--data", str(data), "--worst", str(tmp_path / "worst.jpg")]) == 0
    assert "no mistake among 2 faces" in capsys.readouterr().err
    assert not (tmp_path / "worst.jpg").exists()


def two_labels(folder: Path) -> Path:
    return make_bundle(folder, {"labels.txt": b"mask\nno_mask\n"})


def cut_short(folder: Path) -> Path:
    (folder / "short.tflite").write_bytes(MODEL[: len(MODEL) // 2])
    return folder / "short.tflite"


def no_model(folder: Path) -> Path:
    (folder / "photo.tflite").write_bytes(b"\x89PNG but no model")
    return folder / "photo.tflite"


@pytest.mark.parametrize("make", [two_labels, cut_short, no_model])
def test_model_that_cannot_be_judged_is_one_line(
    make: Any, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(make(tmp_path)), "--data", str(faces)]) == 65
    assert_one_line(capsys)


def test_picture_that_is_gone_is_named(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = coloured_set(tmp_path / "faces", [Face("mask"), Face("no_mask")])
    (data / "0001.png").unlink()
    assert main(["evaluate", str(bundle), "--data", str(data)]) == 65
    assert "0001.png is missing" in assert_one_line(capsys)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--split", "train"], 65, "no face in split 'train'"),
        (["--left-out"], 66, "no run.json"),
        (["--left-out", "--split", "all"], 64, "leave --split away"),
        (["--cost-missed", "-1"], 64, "--cost-missed"),
        (["--cost-worn", "nan"], 64, "--cost-"),
        (["--worst", "{new}/worst.jpg"], 73, "make it first"),
    ],
)
def test_mistake_is_one_line_with_its_exit_code(
    options: list[str], code: int, told: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coloured_set(tmp_path / "faces", [Face("mask", "no_mask"), Face("no_mask")])
    given = [option.format(new=tmp_path / "new") for option in options]
    assert main(["evaluate", str(bundle), "--data", str(data), *given]) == code
    assert told in assert_one_line(capsys)


def assert_one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("trainer: ")
    assert len(said.splitlines()) == 1
    return said


def test_report_of_probabilities_is_that_of_their_logits(faces: Path) -> None:
    rows = faces_of(faces)
    logits = np.random.default_rng(1).normal(0, 2, (len(rows), 3))
    calibration = Calibration(1.7, (0.4, 0.0, 0.0))
    by_logits = as_json(report("m", logits, rows, calibration, 0.5))
    assert by_logits == as_json(report_of("m", probabilities(logits, calibration), rows, 0.5))
    assert not math.isnan(by_logits["ece"])


def faces_of(folder: Path) -> Any:
    return faces(folder, "held_out")
