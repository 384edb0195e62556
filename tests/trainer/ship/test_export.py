"""A run made into a bundle by the command, and what it refuses."""

import json
import resource
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import load_bundle, verify_bundle
from edge.errors import DataError, DiskError
from edge.interpreter import Interpreter
from edge.opencv import cv2
from tests.trainer.drawn import row
from tests.trainer.learn.prepared import prepared_set
from tests.trainer.ship.conftest import RUN, SETTINGS
from trainer.__main__ import main
from trainer.faces.manifest import manifest_sha256, read_manifest, write_manifest
from trainer.learn import kept, network, runs
from trainer.learn.draws import CLASS_SHARE, draw
from trainer.learn.recipes.mobilenet_v2 import making
from trainer.quiet import start_tensorflow
from trainer.ship import exported, gates
from trainer.ship.bundle import Naming, provenance, swap, write_bundle
from trainer.ship.exported import FLOAT16, FLOAT32, Asked, Export
from trainer.ship.quantize import REPRESENTATIVE_EPOCH, REPRESENTATIVES, representative_crops, to_float


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def export(run: Path, faces: Path, out: Path, *more: str) -> int:
    return main(["export", str(run), "--data", str(faces), "--out", str(out), *more])


def test_two_exports_of_one_run_are_the_same_bytes(
    run: Path,
    faces: Path,
    golden: Path,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    assert export(run, faces, tmp_path / "again", "--name", "drawn", "--golden", str(golden)) == 0
    assert files(tmp_path / "again") == files(bundle)
    said = capsys.readouterr().err
    assert all(
        name in said for name in ("same label as float", "plain kernels", "tflite-runtime", "Edge TPU", "latency")
    )


def test_bundle_holds_calibration_and_what_the_gates_found(bundle: Path, made: Export) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["calibration"]["temperature"] == made.calibration.temperature
    found = {g["name"]: g["verdict"] for g in manifest["training"]["gates"]}
    assert found["int8: same label as float"] == gates.WARN  # nine faces
    assert len([name for name in found if name.startswith("labels on ")]) == 2
    assert not any("latency" in name for name in found)
    assert (bundle / "labels.txt").read_text().split() == ["mask", "no_mask", "incorrect"]


def test_card_says_how_it_was_judged_and_what_it_passed(bundle: Path) -> None:
    card = (bundle / "CARD.md").read_text()
    assert "No figure here is of a face that its\ncalibration saw" in card
    assert "The epoch was chosen on the same faces" in card
    assert "| int8: same label as float | 100.00% | at least 88.89% | warning: too few faces to tell" in card
    assert "Individual Typology Angle" in card


def test_float_model_is_a_bundle_of_its_own_that_a_device_refuses(
    made: Export, run: Path, faces: Path, golden: Path, tmp_path: Path
) -> None:
    model = to_float(small_network(), half=True)
    interpreter = Interpreter(model)
    half = replace(made, model=model, input=interpreter.input, output=interpreter.output, kind=FLOAT16)
    said = write_bundle(half, run, faces, Naming("half", "1", golden), tmp_path / "half")
    assert said.endswith("float16, for other programs: edge runs int8 bundles only")
    manifest = verify_bundle(tmp_path / "half")[0]
    assert manifest["input"]["dtype"] == "float32"
    assert manifest["input"]["normalise"] == {"divide_by": 127.5, "subtract": 1.0}
    with pytest.raises(DataError, match="both must be uint8"):
        load_bundle(tmp_path / "half")


def test_float_conversion_answers_as_the_network_does() -> None:
    model = small_network()
    crops = np.random.default_rng(8).integers(0, 255, (4, 32, 32, 3), np.uint8)
    for half in (False, True):
        interpreter = Interpreter(to_float(model, half))
        answers = np.stack([interpreter.run(network.scale(c[np.newaxis]))[0] for c in crops])
        assert answers == pytest.approx(kept.logits_of(model, crops), abs=0.01)


def small_network() -> network.Model:
    """Of the same ends as ours, with one layer between them, as conversion takes a while."""
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3))
    found = keras.layers.Conv2D(64, 3, strides=4, activation="relu")(image)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(found)))


def test_representatives_are_of_every_class_and_source_and_seeded(faces: Path) -> None:
    rows = [r for r in read_manifest(faces) if r.split == "train"]
    picked = [rows[i] for i in draw(rows, REPRESENTATIVES, SETTINGS.seed, REPRESENTATIVE_EPOCH)]
    classes, sources = Counter(r.label for r in picked), Counter((r.label, r.source) for r in picked)
    for label, share in CLASS_SHARE.items():
        assert classes[label] == pytest.approx(share * REPRESENTATIVES, abs=6)
        assert sources[label, "a"] == pytest.approx(sources[label, "b"], rel=0.35)
    recipe = making(SETTINGS, faces)
    first, second = (representative_crops(rows, recipe, 8) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_gate_that_fails_leaves_the_older_bundle(
    made: Export, run: Path, faces: Path, golden: Path, bundle: Path
) -> None:
    before = files(bundle)
    bad = replace(made, gates=(*made.gates, gates.small_enough(bytes(9 << 20), 1)))
    with pytest.raises(DataError, match=r"export refused: size 9 MiB .*; no bundle was changed"):
        write_bundle(bad, run, faces, Naming("drawn", "2", golden), bundle)
    assert files(bundle) == before


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more into one file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_leaves_the_older_bundle_and_nothing_else(
    made: Export, run: Path, faces: Path, golden: Path, bundle: Path
) -> None:
    before = files(bundle)
    with files_of_at_most(100_000), pytest.raises(DiskError, match="cannot write bundle"):
        write_bundle(made, run, faces, Naming("drawn", "2", golden), bundle)
    assert files(bundle) == before
    assert [p.name for p in bundle.parent.iterdir()] == [bundle.name]


def test_cut_between_the_two_renames_brings_the_older_bundle_back(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bundle.json").write_text("old")
    with pytest.raises(FileNotFoundError):
        swap(tmp_path / "never written", tmp_path / "out", tmp_path / "old")
    assert (tmp_path / "out" / "bundle.json").read_text() == "old"


def test_mistakes_are_one_line_with_their_exit_code(
    run: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    capsys.readouterr()
    for more, code, told in (
        (["--int8", "--float16"], 64, "exclude one another"),
        (["--float32", "--edgetpu"], 64, "integers only"),
        (["--edgetpu"], 69, "edgetpu_compiler is not installed"),
        (["--tflite-python", "nowhere"], 66, "--tflite-python"),
    ):
        assert export(run, faces, tmp_path / "out", *more) == code
        said = capsys.readouterr().err
        assert told in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_golden_crop_of_another_size_is_refused_before_the_long_work(
    run: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((48, 48, 3), np.uint8))
    monkeypatch.delattr(exported, "export_run")
    assert export(run, faces, tmp_path / "out", "--golden", str(tmp_path)) == 65
    assert "is 48x48: it must be a 32x32 colour PNG" in capsys.readouterr().err


def test_a_set_other_than_the_one_trained_on_is_refused_as_its_held_out_faces_may_be_known(
    run: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    runs.write_run(tmp_path / "run", replace(RUN, manifest_sha256=manifest_sha256(faces)))
    write_manifest(tmp_path, read_manifest(faces)[:-1])
    assert export(tmp_path / "run", tmp_path, tmp_path / "out") == 65
    assert "is not the set of this run" in capsys.readouterr().err
    runs.refuse_other_set(runs.read_run(tmp_path / "run"), faces)
    runs.refuse_other_set(RUN, tmp_path)  # an older run does not tell


def test_loss_to_float_is_measured_by_calibrations_that_saw_neither_the_face_nor_favoured_either(made: Export) -> None:
    lost = next(g for g in made.gates if g.name == "int8: balanced accuracy lost")
    told = made.float_figures["balanced_accuracy"] - made.figures["balanced_accuracy"]
    assert lost.value == pytest.approx(100 * told, abs=0.02)


def test_floats_are_not_raced_with_the_shipped_integers() -> None:
    model = Interpreter(to_float(small_network(), half=False))
    assert exported.latency_gate(model, Asked(kind=FLOAT32)).verdict == gates.NOT_RUN


def test_a_source_that_was_left_out_takes_no_part_in_an_export_nor_do_its_people(tmp_path: Path) -> None:
    rows = [
        *(
            row(label, group=f"{source}{i}", source=source)
            for label in ("mask", "no_mask")
            for source in "abc"
            for i in "12"
        ),
        *(
            row(label, group=f"{source}{i}", source=source, split="held_out")
            for label in ("mask", "no_mask")
            for source in "abc"
            for i in "34"
        ),
        row("mask", group="c3", source="a", split="held_out"),  # a person of c, seen at a
    ]
    write_manifest(tmp_path, rows)
    run = replace(RUN, settings=replace(SETTINGS, leave_out=("c",)), division=replace(RUN.division, unseen=("b",)))
    assert {r.group for r in exported.judging_rows(tmp_path, ("c",))} == {"a3", "a4", "b3", "b4"}
    assert set(provenance(run, tmp_path)["faces"]["held_out"]) == {"a", "b"}
    assert provenance(run, tmp_path)["faces"]["held_out"]["a"] == {"mask": 2, "no_mask": 2}
    with pytest.raises(DataError, match="no held-out faces beside those of a, b, c, left out"):
        exported.judging_rows(tmp_path, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (lambda r: r.split == "train", "no held-out faces"),
        (lambda r: r.split == "train" or r.label == "mask", "['mask'] held-out faces"),
    ],
)
def test_set_that_cannot_judge_is_refused(
    run: Path, faces: Path, tmp_path: Path, kept: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(kept)
    write_manifest(tmp_path, [r for r in read_manifest(faces) if kept(r)])
    assert export(run, tmp_path, tmp_path / "out") == 65
    assert told in capsys.readouterr().err


def test_yardsticks_and_runs_without_weights_are_refused(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write_run(tmp_path, replace(RUN, settings=replace(SETTINGS, recipe="reference")))
    assert export(tmp_path, faces, tmp_path / "out") == 65
    assert "train with --recipe mobilenet_v2 to export" in capsys.readouterr().err
    runs.write_run(tmp_path, RUN)
    assert export(tmp_path, faces, tmp_path / "out") == 66
    assert "no best.weights.h5" in capsys.readouterr().err


def test_without_crops_to_ship_a_bundle_is_tested_on_patterns(
    made: Export, run: Path, faces: Path, tmp_path: Path
) -> None:
    said = write_bundle(made, run, faces, Naming("site", "1", None), tmp_path / "site")
    assert "6 golden inputs agree" in said


def test_a_model_that_always_says_the_same_is_refused_and_leaves_the_older_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(bundle)
    prepared = prepared_set(tmp_path / "set", people=20)  # five are held out
    constant = network.build(32, 0.35, None, 0.2, seed=1)
    constant.layers[-1].set_weights([w * 0 for w in constant.layers[-1].get_weights()])
    runs.write_run(tmp_path, RUN)
    network.save_weights(constant, tmp_path / runs.BEST)
    assert export(tmp_path, prepared, bundle) == 65
    assert "export refused: better than guessing" in capsys.readouterr().err
    assert files(bundle) == before
