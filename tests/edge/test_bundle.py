"""A bundle is believed only as a whole: every way to be bad is told before the runtime sees a byte of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge import classify
from edge.bundle import MAX_MANIFEST_BYTES, load_bundle
from edge.classify import Classifier
from edge.errors import DataError, InputMissing
from tests.edge.bundles import INPUT, MODEL, OUTPUT, make_bundle, tiny

Spoil = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the runtime saw a bundle that should have been refused")

    monkeypatch.setattr(classify, "Interpreter", never)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Classifier(load_bundle(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_good_bundle_is_read_with_all_it_says(tmp_path: Path) -> None:
    bundle = tiny(tmp_path)
    assert (bundle.name, bundle.version, bundle.labels) == ("tiny", "1", ("mask", "no_mask", "incorrect"))
    assert (bundle.input.shape, bundle.output.shape) == ((1, 8, 8, 3), (1, 3))
    assert (bundle.crop_margin, bundle.threshold, bundle.calibration.temperature) == (0.25, 0.5, 4.0)
    assert bundle.model == MODEL


def test_the_tag_is_the_name_and_the_manifest_s_hash(tmp_path: Path) -> None:
    bundle = tiny(tmp_path)
    digest = hashlib.sha256((tmp_path / "bundle.json").read_bytes()).hexdigest()
    assert bundle.tag == f"tiny@{digest[:12]}"


def test_any_change_of_a_file_changes_the_tag(tmp_path: Path) -> None:
    first = tiny(tmp_path / "a")
    assert tiny(tmp_path / "b", contents={"CARD.md": b"# other\n"}).tag != first.tag


def test_a_bundle_of_two_labels_is_read(tmp_path: Path) -> None:
    calibration = {"temperature": 1.0, "bias": [0.0, 0.0]}
    labels = {"labels.txt": b"mask\nno_mask\n"}
    bundle = tiny(tmp_path, contents=labels, output={**OUTPUT, "shape": [1, 2]}, calibration=calibration)
    assert bundle.labels == ("mask", "no_mask")


def test_the_folder_itself_may_be_a_link_as_the_active_model_is(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny@0123")
    (tmp_path / "active").symlink_to("tiny@0123")
    assert load_bundle(tmp_path / "active").name == "tiny"


def test_a_signature_beside_the_manifest_is_no_stranger(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    (tmp_path / "bundle.json.sig").write_text("signed")
    assert load_bundle(tmp_path).name == "tiny"


@pytest.mark.parametrize("make", [lambda p: None, Path.mkdir, Path.touch], ids=["nothing", "empty folder", "a file"])
def test_where_no_bundle_is_the_message_names_the_place_and_what_is_missing(tmp_path: Path, make: Spoil) -> None:
    make(tmp_path / "gone")
    with pytest.raises(InputMissing, match=r"no model bundle at .*gone: bundle\.json is not there: name the folder"):
        load_bundle(tmp_path / "gone")


def flip_a_byte(path: Path) -> None:
    data = bytearray((path / "model.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "model.tflite").write_bytes(data)


def as_folder(path: Path) -> None:
    (path / "CARD.md").unlink()
    (path / "CARD.md").mkdir()


def as_link(path: Path) -> None:
    (path / "labels.txt").rename(path.parent / "labels.txt")
    (path / "labels.txt").symlink_to(path.parent / "labels.txt")


DAMAGE: dict[str, tuple[Spoil, str]] = {
    "truncated": (
        lambda p: os.truncate(p / "model.tflite", 1000),
        "model.tflite has 1,000 bytes instead of 1,640: copy",
    ),
    "longer": (lambda p: (p / "CARD.md").write_text("# longer"), "CARD.md has 8 bytes instead of 7: copy"),
    "one bit": (flip_a_byte, "model.tflite was altered (SHA-256 differs): copy"),
    "file gone": (lambda p: (p / "labels.txt").unlink(), "labels.txt is missing: copy"),
    "folder for file": (as_folder, "CARD.md is missing: copy"),
    "stranger": (lambda p: (p / "run.sh").touch(), "run.sh is not listed in bundle.json: remove it"),
    "stranger below": (lambda p: (p / "golden" / "x.png").touch(), "golden/x.png is not listed in bundle.json: remove"),
    "pipe": (lambda p: os.mkfifo(p / "pipe"), "pipe is not listed in bundle.json: remove it"),
    "link": (as_link, "labels.txt is a link: copy the bundle with its files"),
    "link to a folder": (lambda p: (p / "more").symlink_to("/etc"), "more is a link"),
    "link to nowhere": (lambda p: (p / "more").symlink_to("nowhere"), "more is a link"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_copy_is_refused_with_the_file_and_the_remedy(tmp_path: Path, damage: str) -> None:
    spoil, says = DAMAGE[damage]
    spoil(make_bundle(tmp_path / "bundle"))
    assert says in refused(tmp_path / "bundle")


MANIFESTS = {
    "empty": b"",
    "not JSON": b"mask-mnv2",
    "a list": b"[]",
    "a number": b"7",
    "cut off": b'{"name": "tiny", "files": {',
    "not text": b"\xff\xfe\x00",
    "files a list": b'{"name": "tiny", "schema": 1, "task": "classifier", "files": ["model.tflite"]}',
    "a file without a size": b'{"name": "tiny", "schema": 1, "task": "classifier", "files": {"a": {"sha256": ""}}}',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_what_is_no_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    (make_bundle(tmp_path) / "bundle.json").write_bytes(manifest)
    assert "bundle.json is not a manifest" in refused(tmp_path)


def test_what_a_later_version_wrote_asks_for_an_update_whatever_it_looks_like(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"schema": 2, "task": "classifier", "parts": []}')
    assert "schema 2 task 'classifier' is not known to this version: update mask-edge" in refused(tmp_path)


def test_a_manifest_without_end_is_not_even_read(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    os.truncate(tmp_path / "bundle.json", MAX_MANIFEST_BYTES + 1)
    assert "bundle.json is a link or too large: copy it again" in refused(tmp_path)


def test_a_manifest_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "bundle")
    (path / "bundle.json").rename(tmp_path / "elsewhere.json")
    (path / "bundle.json").symlink_to(tmp_path / "elsewhere.json")
    assert "bundle.json is a link" in refused(path)


@pytest.mark.parametrize("listed", ["../outside", "/etc/hostname", "a/../../b", "a\\b", ""])
def test_a_listed_path_that_leads_out_is_refused(tmp_path: Path, listed: str) -> None:
    entry = {"sha256": hashlib.sha256(MODEL).hexdigest(), "size": len(MODEL)}
    make_bundle(tmp_path, files={"model.tflite": entry, listed: entry})
    assert f"listed path {listed!r} must be relative, without '..'" in refused(tmp_path)


def without(key: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k != key}


NAN, INFINITE = float("nan"), float("inf")
VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": "Mask Net"}, "name 'Mask Net' must match"),
    "name too long": ({"name": "m" * 33}, "must match"),
    "name with a path": ({"name": "../mask"}, "must match"),
    "name no string": ({"name": 7}, "name 7 must match"),
    "schema": ({"schema": 2}, "schema 2 task 'classifier' is not known to this version: update mask-edge"),
    "task": ({"task": "poet"}, "task 'poet' is not known to this version"),
    "detector": ({"task": "detector"}, "is for task 'detector': a classifier is needed"),
    "colours": ({"input": {**INPUT, "colour": "BGR"}}, "colour order 'BGR'"),
    "no colours": ({"input": without("colour", INPUT)}, "lacks or garbles 'colour'"),
    "no shape": ({"output": without("shape", OUTPUT)}, "lacks or garbles 'shape'"),
    "no calibration": ({"calibration": {}}, "lacks or garbles 'temperature'"),
    "no threshold": ({"thresholds": {}}, "lacks or garbles 'mask'"),
    "garbled margin": ({"crop_margin": "wide"}, "lacks or garbles"),
    "margin": ({"crop_margin": 1.5}, "crop_margin must be 0-1"),
    "margin NaN": ({"crop_margin": NAN}, "crop_margin must be 0-1"),
    "threshold": ({"thresholds": {"mask": 1.0}}, "threshold between 0 and 1"),
    "cold": ({"calibration": {"temperature": 0, "bias": [0, 0, 0]}}, "temperature above 0"),
    "bias NaN": ({"calibration": {"temperature": 1, "bias": [0, NAN, 0]}}, "must be finite"),
    "hot": ({"calibration": {"temperature": INFINITE, "bias": [0, 0, 0]}}, "must be finite"),
    "too few biases": ({"calibration": {"temperature": 1, "bias": [0, 0]}}, "3 labels, but output shape (1, 3) and 2"),
    "output shape": ({"output": {**OUTPUT, "shape": [1, 2]}}, "3 labels, but output shape (1, 2)"),
    "oblong": ({"input": {**INPUT, "shape": [1, 8, 9, 3]}}, "input shape (1, 8, 9, 3) must be (1, side, side, 3)"),
    "grey": ({"input": {**INPUT, "shape": [1, 8, 8, 1]}}, "must be (1, side, side, 3)"),
    "batch": ({"input": {**INPUT, "shape": [4, 8, 8, 3]}}, "must be (1, side, side, 3)"),
    "float": ({"input": {**INPUT, "dtype": "float32"}}, "tensors are float32 in, uint8 out: both must be uint8"),
    "int8 out": ({"output": {**OUTPUT, "dtype": "int8"}}, "tensors are uint8 in, int8 out"),
}


@pytest.mark.parametrize("value", VALUES)
def test_a_manifest_that_says_what_cannot_be_is_refused(tmp_path: Path, value: str) -> None:
    changes, says = VALUES[value]
    make_bundle(tmp_path, **changes)
    assert says in refused(tmp_path)


@pytest.mark.parametrize("missing", ["name", "files", "schema", "task"])
def test_a_manifest_that_lacks_a_key_is_refused_with_the_key(tmp_path: Path, missing: str) -> None:
    manifest = make_bundle(tmp_path) / "bundle.json"
    manifest.write_text(json.dumps(without(missing, json.loads(manifest.read_text()))))
    assert repr(missing) in refused(tmp_path)


LABELS = {
    "swapped": b"no_mask\nmask\nincorrect\n",
    "another order": b"mask\nincorrect\nno_mask\n",
    "one": b"mask\n",
    "strange": b"mask\nno_mask\nbeard\n",
    "none": b"",
    "not text": b"\xff\xfe\n",
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_in_any_other_order_or_of_other_names_are_refused(tmp_path: Path, labels: bytes) -> None:
    make_bundle(tmp_path, {"labels.txt": labels})
    assert "labels.txt says" in refused(tmp_path)


def test_a_bundle_without_labels_or_without_a_model_is_refused(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    manifest = json.loads((path / "bundle.json").read_text())
    for file, says in (("labels.txt", "labels.txt says ()"), ("model.tflite", "lists no model.tflite")):
        (path / file).unlink()
        del manifest["files"][file]
        (path / "bundle.json").write_text(json.dumps(manifest))
        assert says in refused(path)
