"""A bundle's self-test: what agrees, what does not, and what cannot be tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.errors import DataError
from edge.golden import EXPECTED, check_golden, read_golden
from tests.edge.bundles import FLOAT_MODEL, GREEN_BGR, INPUT, RED_BGR, make_bundle, plain, png, tiny

GREEN = {"file": "green.png", "label": "mask", "p_mask": 0.95}


def expecting(*inputs: Any) -> dict[str, bytes]:
    return {EXPECTED: json.dumps({"inputs": inputs}).encode()}


def failed(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        check_golden(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_bundle_that_gives_what_it_gave_at_home_passes_and_says_on_which_runtime(tmp_path: Path) -> None:
    said = check_golden(make_bundle(tmp_path))
    assert said.startswith("tiny@")
    assert "2 golden inputs agree on ai-edge-litert" in said or "2 golden inputs agree on tflite-runtime" in said


def test_probabilities_may_differ_by_the_counts_of_another_kernel(tmp_path: Path) -> None:
    check_golden(make_bundle(tmp_path, expecting({**GREEN, "p_mask": 0.93})))


def test_another_label_fails_and_is_named(tmp_path: Path) -> None:
    said = failed(make_bundle(tmp_path, expecting({**GREEN, "label": "no_mask"})))
    assert "self-test failed" in said
    assert "green.png gives mask 0.9" in said
    assert "instead of no_mask 0.950" in said


@pytest.mark.parametrize("p_mask", [0.6, float("nan")])
def test_a_far_off_probability_fails(tmp_path: Path, p_mask: float) -> None:
    assert "green.png gives mask" in failed(make_bundle(tmp_path, expecting({**GREEN, "p_mask": p_mask})))


def test_everything_that_disagrees_is_named(tmp_path: Path) -> None:
    red = {"file": "red.png", "label": "mask", "p_mask": 0.9}
    said = failed(make_bundle(tmp_path, expecting(GREEN, {**GREEN, "p_mask": 0.1}, red)))
    assert (said.count("green.png"), said.count("red.png")) == (1, 1)


def test_crops_are_read_as_rgb(tmp_path: Path) -> None:
    crops = {case.file: crop for case, crop in read_golden(tiny(tmp_path))}
    assert tuple(crops["red.png"][0, 0]) == (255, 0, 0)


def test_a_swapped_picture_is_noticed_before_it_is_judged(tmp_path: Path) -> None:
    (make_bundle(tmp_path) / "golden" / "green.png").write_bytes(png(plain(RED_BGR)))
    assert "was altered" in failed(tmp_path) or "bytes instead of" in failed(tmp_path)


UNTESTABLE: dict[str, dict[str, bytes]] = {
    "not JSON": {EXPECTED: b"green"},
    "a list": {EXPECTED: b"[]"},
    "no inputs": expecting(),
    "an input that is none": expecting("green.png"),
    "an input without a label": expecting({"file": "green.png", "p_mask": 0.9}),
    "a picture that is not there": expecting({**GREEN, "file": "blue.png"}),
    "an empty picture": {"golden/green.png": b""},
    "no picture": {"golden/green.png": b"green"},
    "another size": {"golden/green.png": png(plain(GREEN_BGR, 9, 8))},
}


@pytest.mark.parametrize("contents", UNTESTABLE.values(), ids=UNTESTABLE)
def test_what_cannot_be_tested_is_refused_with_a_remedy(tmp_path: Path, contents: dict[str, bytes]) -> None:
    said = failed(make_bundle(tmp_path, contents))
    assert "golden/expected.json" in said
    assert said.endswith("export it again")


def test_a_model_that_is_not_what_the_bundle_says_fails_too(tmp_path: Path) -> None:
    assert "the model has" in failed(make_bundle(tmp_path / "float", {"model.tflite": FLOAT_MODEL}))
    larger = {**INPUT, "shape": [1, 16, 16, 3]}
    assert "the model has" in failed(make_bundle(tmp_path / "size", input=larger))
