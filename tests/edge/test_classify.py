"""From a face in a frame to a calibrated reading."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import Bundle, Calibration, TensorSpec
from edge.classify import Classifier, to_reading
from edge.errors import DataError
from edge.records import Box, ImageU8, Reading
from tests.edge.bundles import BLUE_BGR, FLOAT_MODEL, GREEN_BGR, INPUT, MODEL, OUTPUT, RED_BGR, plain, tiny

counts = st.integers(0, 255)
finite = st.floats(-20, 20)


def bundle(
    labels: tuple[str, ...] = ("mask", "no_mask", "incorrect"),
    scale: float = 0.5,
    zero_point: int = 100,
    temperature: float = 1.0,
    bias: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> Bundle:
    """A bundle of which only the output counts."""
    pixels = TensorSpec((1, 8, 8, 3), "uint8", 2 / 255, 127)
    logits = TensorSpec((1, len(labels)), "uint8", scale, zero_point)
    calibration = Calibration(temperature, bias[: len(labels)])
    return Bundle(Path("tiny"), "tiny", "1", "tiny@0", labels, pixels, logits, 0.25, calibration, 0.5, MODEL)


def reading(raw: list[int], **changes: Any) -> Reading:
    return to_reading(np.array(raw, np.uint8), bundle(**changes))


def test_counts_become_the_probabilities_of_hand_arithmetic() -> None:
    # Logits 1, -1, 0; e to them 2.718, 0.368, 1; of their sum 4.086: 0.665, 0.090, 0.245.
    found = reading([102, 98, 100])
    assert found.p_mask == pytest.approx(0.66524, abs=1e-5)
    assert found.p_incorrect == pytest.approx(1 / 1.36788, abs=1e-5)


def test_counts_under_the_zero_point_do_not_wrap_around() -> None:
    # 3 - 250 would be 9 in 8 bits.
    assert reading([3, 250, 250], zero_point=250).p_mask == pytest.approx(0.0, abs=1e-12)


def test_temperature_divides_and_bias_is_added_first() -> None:
    # (2 + 1, -3 + 1, 0) / 2 = 1.5, -1, 0
    shares = np.exp([1.5, -1.0, 0.0])
    found = reading([104, 94, 100], temperature=2.0, bias=(1.0, 1.0, 0.0))
    assert found.p_mask == pytest.approx(shares[0] / shares.sum())


def test_equal_logits_are_equal_shares() -> None:
    found = reading([77, 77, 77])
    assert (found.p_mask, found.p_incorrect) == pytest.approx((1 / 3, 1 / 2))


def test_a_model_of_two_labels_never_says_incorrect() -> None:
    found = reading([104, 100], labels=("mask", "no_mask"))
    assert (found.p_mask, found.p_incorrect) == pytest.approx((1 / (1 + np.exp(-2)), 0.0))


def test_a_model_that_is_wholly_sure_still_gives_shares() -> None:
    assert reading([255, 0, 0], scale=50.0) == Reading(1.0, 0.0)
    assert reading([0, 0, 255], scale=50.0) == Reading(0.0, 1.0)


@given(
    st.lists(counts, min_size=3, max_size=3),
    st.floats(1e-4, 100),
    counts,
    st.floats(0.01, 100),
    st.tuples(finite, finite, finite),
    st.sampled_from([2, 3]),
)
def test_a_reading_s_shares_are_between_nought_and_one(
    raw: list[int], scale: float, zero_point: int, temperature: float, bias: tuple[float, ...], labels: int
) -> None:
    of = bundle(("mask", "no_mask", "incorrect")[:labels], scale, zero_point, temperature, bias)
    found = to_reading(np.array(raw[:labels], np.uint8), of)
    assert 0.0 <= found.p_mask <= 1.0
    assert 0.0 <= found.p_incorrect <= 1.0


@given(counts, counts, counts, counts)
def test_more_of_the_mask_logit_is_never_less_mask(low: int, high: int, no_mask: int, incorrect: int) -> None:
    less, more = sorted((low, high))
    assert reading([less, no_mask, incorrect]).p_mask <= reading([more, no_mask, incorrect]).p_mask


# --- with the model ---


def scene(colour_bgr: tuple[int, int, int]) -> ImageU8:
    """A grey frame with a coloured face of 20 px at 30, 40, and its margin."""
    frame = plain((127, 127, 127), 100, 120)
    frame[35:65, 25:55] = colour_bgr
    return frame


@pytest.mark.parametrize(
    ("colour", "p_mask", "p_incorrect"), [(GREEN_BGR, 1.0, 0.5), (RED_BGR, 0.0, 0.0), (BLUE_BGR, 0.0, 1.0)]
)
def test_a_face_of_a_frame_is_read_in_the_order_of_the_labels_and_colours(
    tmp_path: Path, colour: tuple[int, int, int], p_mask: float, p_incorrect: float
) -> None:
    found = Classifier(tiny(tmp_path)).read(scene(colour), Box(30, 40, 20, 20))
    assert found.p_mask == pytest.approx(p_mask, abs=0.03)  # the temperature of 4 leaves 3 % of doubt
    assert found.p_incorrect == pytest.approx(p_incorrect, abs=0.03)


def test_the_bundle_s_margin_is_cut_out_with_the_face(tmp_path: Path) -> None:
    frame, face = scene(GREEN_BGR), Box(35, 45, 10, 10)
    tight = Classifier(tiny(tmp_path / "tight", crop_margin=0.0)).read(frame, face)
    wide = Classifier(tiny(tmp_path / "wide", crop_margin=1.0)).read(frame, face)
    beyond = Classifier(tiny(tmp_path / "beyond", crop_margin=1.0)).read(frame, Box(25, 35, 30, 30))
    assert tight == wide
    assert beyond.p_mask < 0.6 < wide.p_mask


def test_a_classifier_says_what_it_is_and_on_what_it_runs(tmp_path: Path) -> None:
    known = tiny(tmp_path)
    classifier = Classifier(known)
    assert (classifier.model, classifier.threshold) == (known.tag, 0.5)
    assert classifier.runtime.startswith(("ai-edge-litert ", "tflite-runtime "))


def test_raw_gives_the_counts_that_a_reading_is_made_of(tmp_path: Path) -> None:
    known = tiny(tmp_path)
    classifier, crop = Classifier(known), plain((10, 200, 90))
    assert classifier.raw(crop).dtype == np.uint8
    assert to_reading(classifier.raw(crop), known) == classifier.read_crop(crop)


DISAGREEMENTS: dict[str, dict[str, Any]] = {
    "input side": {"input": {**INPUT, "shape": [1, 16, 16, 3]}},
    "input zero point": {"input": {**INPUT, "zero_point": 128}},
    "input scale": {"input": {**INPUT, "scale": 1 / 255}},
    "output zero point": {"output": {**OUTPUT, "zero_point": 0}},
    "output scale": {"output": {**OUTPUT, "scale": 0.2}},
    "scale NaN": {"output": {**OUTPUT, "scale": float("nan")}},
    "float model": {"contents": {"model.tflite": FLOAT_MODEL}},
    "a label fewer": {
        "contents": {"labels.txt": b"mask\nno_mask\n"},
        "output": {**OUTPUT, "shape": [1, 2]},
        "calibration": {"temperature": 1, "bias": [0, 0]},
    },
}


@pytest.mark.parametrize("changes", DISAGREEMENTS.values(), ids=DISAGREEMENTS)
def test_a_bundle_that_says_other_than_its_model_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match=r"bundle .*: bundle.json says (input|output) .* the model has .*export it again"
    ):
        Classifier(tiny(tmp_path, **changes))


def test_a_scale_rounded_by_json_is_no_disagreement(tmp_path: Path) -> None:
    Classifier(tiny(tmp_path, output={**OUTPUT, "scale": 0.0941177}))


def test_a_bundle_whose_model_is_none_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="model cannot be run"):
        Classifier(dataclasses.replace(tiny(tmp_path), model=b"PK\x03\x04 an archive"))
