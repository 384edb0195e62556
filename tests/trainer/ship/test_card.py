"""What a card says, and what it leaves unsaid because it does not know."""

from dataclasses import replace
from typing import Any

import pytest

from tests.trainer.ship.conftest import RUN, SETTINGS
from trainer.ship.bundle import started_from
from trainer.ship.card import card, chosen, limits, sources
from trainer.ship.exported import Export

OURS = {"train": {"ilc2021": {"mask": 9, "no_mask": 9, "incorrect": 3}}, "held_out": {"chandrika": {"mask": 2}}}
THEIRS = {"train": {"lobby": {"mask": 9, "no_mask": 9, "incorrect": 3}}, "held_out": {"lobby": {"mask": 2}}}


def told(faces: dict[str, Any], **by: object) -> dict[str, Any]:
    chosen_by = {"judged_on": "held_out", "selecting": True, "unseen": ()} | by
    rest = {"architecture": "MobileNetV2", "weights": "w.h5", "tensorflow": "tensorflow", "runtime": "ai-edge-litert"}
    return {"faces": faces, "chosen_by": chosen_by, "epochs_of_runs": [18], **rest}


@pytest.mark.parametrize(("sets", "said"), [(OURS, True), (THEIRS, False)])
def test_what_we_know_of_our_own_photos_is_not_said_of_a_site_s(made: Export, sets: dict[str, Any], said: bool) -> None:
    text = card("door", "1", made, told(sets), SETTINGS)
    for claim in ("public repositories", "did not agree", "East Asian", "of one person", "face-mask-dataset-ilc-2021"):
        assert (claim in text) == said
    assert ("| lobby | not recorded |" in text) != said
    assert "\n\n## Limits" in text
    assert "\n\n\n" not in text


def test_only_slices_that_are_there_were_looked_at_apart() -> None:
    assert "Looked at apart (above): hand at face." in limits(THEIRS, ["bare:hand_at_face", "bare:all_of_these"], "off")
    assert "None of it was looked at apart." in limits(THEIRS, [], "off")


@pytest.mark.parametrize(
    ("pasted", "drawn", "transplants"),
    [("off", False, False), ("drawn", True, False), ("transplants", False, True), ("both", True, True)],
)
def test_pasted_masks_are_told_by_their_kind(pasted: str, drawn: bool, transplants: bool) -> None:
    text = limits(THEIRS, [], pasted)
    assert ("a drawn mask" in text) == drawn
    assert ("of another face of the training set" in text) == transplants


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ({"selecting": False}, "No epoch was chosen on any of these faces."),
        ({}, "on the same faces, which flatters"),
        ({"judged_on": "unseen", "unseen": ("chandrika",)}, "2 of the 9 faces here are of them, which flatters"),
        ({"judged_on": "unseen", "unseen": ("ilc2021",)}, "chosen on all faces of ilc2021, none of which was"),
    ],
)
def test_card_says_which_faces_chose_the_epoch_and_how_many_of_them_judge(by: dict[str, object], said: str) -> None:
    assert said in chosen(told(OURS, **by), 9)


def test_weights_that_were_not_used_are_not_named() -> None:
    assert started_from(replace(SETTINGS, weights="a/base.weights.h5")) == "base.weights.h5"
    assert started_from(replace(SETTINGS, weights="imagenet", start_from="a/run")) == "weights of an earlier run"
    assert started_from(RUN.settings) == "random weights"


def test_a_set_of_ours_keeps_its_origin_beside_one_of_a_site() -> None:
    rows = list(sources({"train": OURS["train"] | THEIRS["train"], "held_out": {}}))
    assert "ilc-2021" in rows[2]
    assert "not recorded" in rows[3]
