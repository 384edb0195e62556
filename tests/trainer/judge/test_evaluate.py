import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.edge.bundles import FLOAT_MODEL, INPUT, MODEL, OUTPUT, make_bundle
from tests.trainer.judge.coloured import Face, coloured_set
from trainer.__main__ import main
from trainer.faces.manifest import manifest_sha256, read_manifest, write_manifest


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
    assert (said["sweep"]["cheapest"], said["sweep"]["saving"]) == (None, None)
    assert any("undefined" in note for note in said["notes"])
    assert list(said["per_class"]) == [only]


@pytest.mark.parametrize("only", ["mask", "no_mask"])
def test_table_for_people_says_what_one_class_cannot_tell(
    only: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(bundle), "--data", str(coloured_set(tmp_path / "one", [Face(only)] * 5))]) == 0
    out = capsys.readouterr().out
    assert "no balanced accuracy: it needs masked and bare faces" in out
    assert "no threshold can be chosen" in out


def test_no_mistake_among_few_faces_is_no_certainty(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coloured_set(tmp_path / "right", [Face("mask")] * 20 + [Face("no_mask")] * 20)
    said = judged(bundle, data, capsys)
    assert said["balanced_accuracy"] == 1
    assert said["ci95"][0] < 0.75  # ten groups of two faces in each class
    assert said["per_class"]["mask"]["ci95"][0] == pytest.approx(0.72, abs=0.01)  # of those ten
    main(["evaluate", str(bundle), "--data", str(data)])
    assert any(line.split()[:4] == ["all", "40", "20", "100.0%"] and "(72-100)" in line for line in lines_of(capsys))


def test_class_of_one_group_has_no_interval_and_the_notes_say_so(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = judged(bundle, coloured_set(tmp_path / "few", [Face("mask")] * 2 + [Face("no_mask")] * 6), capsys)
    assert said["ci95"] == [None, None]
    assert any("fewer than two groups" in note for note in said["notes"])


def test_skin_tone_is_said_to_be_a_proxy(bundle: Path, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert any("proxy" in note and "light" in note for note in judged(bundle, faces, capsys)["notes"])


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ("held_out", ["calibration and threshold were set on these faces"]),
        ("train", ["trained on these faces"]),
        ("all", ["trained on these faces", "calibration and threshold were set on these faces"]),
    ],
)
def test_bundle_judged_on_its_own_set_is_said_to_be_flattered(
    split: str, told: list[str], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = make_bundle(tmp_path, training={"prepared_set_sha256": manifest_sha256(faces)})
    text = " ".join(judged(own, faces, capsys, "--split", split)["notes"])
    assert [sentence for sentence in told if sentence in text] == told
    assert ("calibration" in text) == (split != "train")
    assert "other manifest" not in text


def test_set_other_than_that_of_the_model_is_said_to_be_perhaps_known(
    bundle: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_bundle(tmp_path, training={"prepared_set_sha256": "0" * 64})
    assert any("other manifest" in note for note in judged(other, faces, capsys)["notes"])
    assert any("does not say" in note for note in judged(bundle, faces, capsys)["notes"])


def test_set_with_a_group_on_both_sides_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coloured_set(tmp_path / "faces", [Face("mask"), Face("no_mask")])
    write_manifest(data, [r if i else replace(r, split="train") for i, r in enumerate(read_manifest(data))])
    assert main(["evaluate", str(bundle), "--data", str(data)]) == 65
    assert "both sides of the split" in assert_one_line(capsys)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


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
        (["--split", "al"], 64, "--split"),
        (["--left-out"], 66, "no run.json"),
        (["--left-out", "--split", "all"], 64, "leave --split away"),
        (["--cost-missed", "-1"], 64, "--cost-missed"),
        (["--cost-worn", "nan"], 64, "--cost-"),
        (["--worst", "{new}/worst.jpg"], 73, "make it first"),
        (["--worst", "{new}.gif"], 73, "name it .jpg"),
    ],
)
def test_mistake_is_one_line_with_its_exit_code(
    options: list[str], code: int, told: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coloured_set(tmp_path / "faces", [Face("mask"), Face("no_mask")])  # all right: no worst one
    given = [option.format(new=tmp_path / "new") for option in options]
    assert main(["evaluate", str(bundle), "--data", str(data), *given]) == code
    assert told in assert_one_line(capsys)


def assert_one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("trainer: ")
    assert len(said.splitlines()) == 1
    return said
