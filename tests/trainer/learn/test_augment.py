from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.records import Box, ImageU8
from tests.trainer.drawn import BOX, LANDMARKS, MASK_BLUE, person, row
from trainer.learn.augment import Strength, augmented_crop, pose
from trainer.learn.cloth import redye
from trainer.learn.drawn_masks import draw_mask, has_room
from trainer.learn.light import backlight, low_light
from trainer.learn.occluders import occlude
from trainer.learn.transplant import donors, pick, transplant

Floats = npt.NDArray[np.float64]
LABELS = ("mask", "no_mask", "incorrect")


@pytest.mark.parametrize("label", LABELS)
def test_crops_have_the_models_shape_whatever_is_drawn(label: str) -> None:
    for seed in range(40):
        crop = augmented_crop(
            person(label), BOX, label, np.random.default_rng(seed), margin=0.2, size_px=64, points=LANDMARKS
        )
        assert crop.shape == (64, 64, 3)
        assert crop.dtype == np.uint8


def test_face_at_the_corner_of_its_picture_can_be_varied() -> None:
    for seed in range(40):
        crop = augmented_crop(
            person("mask"), Box(-30, -30, 50, 60), "mask", np.random.default_rng(seed), margin=0.2, size_px=32
        )
        assert crop.shape == (32, 32, 3)


def test_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    first, again, other = (
        augmented_crop(person("mask"), BOX, "mask", np.random.default_rng(s), margin=0.2, size_px=64) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_varying_leaves_the_photo_as_it_was() -> None:
    photo = person("no_mask")
    kept = photo.copy()
    for seed in range(20):
        augmented_crop(photo, BOX, "no_mask", np.random.default_rng(seed), margin=0.2, size_px=64)
        augmented_crop(photo, BOX, "mask", np.random.default_rng(seed), margin=0.2, size_px=64, points=LANDMARKS)
    assert np.array_equal(photo, kept)


def test_what_hides_a_face_hides_its_lower_half() -> None:
    photo = person("no_mask")
    hidden = [occlude(photo, BOX, np.random.default_rng(s)).astype(float) for s in range(30)]
    changed = np.abs(np.array(hidden) - photo).mean(axis=(0, 3))
    assert changed[100:150, 60:140].mean() > 3 * changed[50:90, 60:140].mean()


def blueness(image: npt.NDArray[Any], top: int, bottom: int) -> float:
    """Share of the face's middle between two rows that has the drawn mask's colour."""
    patch = image[top:bottom, 85:115].astype(float)
    return float((np.abs(patch - MASK_BLUE).max(axis=2) < 40).mean())


def moved_mask(label: str) -> Floats:
    taker, lender = row("no_mask"), row("mask")
    pictures = person("no_mask"), person("mask")
    rng = np.random.default_rng(3)
    made = [transplant(pictures[0], taker, pictures[1], lender, label, rng=rng) for _ in range(60)]
    usual: Floats = np.median(made, axis=0)
    return usual


def test_transplanted_mask_covers_nose_and_mouth() -> None:
    assert blueness(moved_mask("mask"), 103, 140) > 0.8


def test_transplanted_badly_worn_mask_leaves_the_nose_bare() -> None:
    worn = moved_mask("incorrect")
    assert blueness(worn, 90, 108) < 0.1
    assert blueness(worn, 135, 148) > 0.4


def test_lenders_of_bare_halves_are_bare() -> None:
    people = donors([row("mask", path=f"{i}.jpg") for i in range(4)] + [row("no_mask"), row("no_mask", path="b.jpg")])
    pairs = [pick(people, "no_mask", np.random.default_rng(s)) for s in range(20)]
    assert all(pair and not pair[0].masked and not pair[1].masked for pair in pairs)


def test_small_or_doubtful_faces_lend_nothing() -> None:
    assert donors([row(shorter_px=30.0), row(flags="pasted"), row(landmarks=""), row("incorrect")]) == []


def test_without_anyone_to_take_there_is_no_pair() -> None:
    assert pick(donors([row("mask")]), "incorrect", np.random.default_rng(1)) is None


def hue_kept(before: ImageU8, after: ImageU8, top: int, bottom: int) -> float:
    """Share of the face's middle between two rows whose colour is about what it was."""
    patch = np.s_[top:bottom, 85:115]
    return float((np.abs(after[patch].astype(float) - before[patch]).max(axis=2) < 25).mean())


def test_dyed_mask_gets_another_colour_and_the_skin_stays() -> None:
    photo = person("mask")
    dyed = [redye(photo, LANDMARKS, BOX, np.random.default_rng(seed)) for seed in range(12)]
    assert np.median([blueness(d, 105, 140) for d in dyed]) < 0.1
    assert min(hue_kept(photo, d, 88, 95) for d in dyed) > 0.9


def test_nose_left_bare_by_a_badly_worn_mask_is_not_dyed() -> None:
    photo = person("incorrect")
    for seed in range(12):
        assert hue_kept(photo, redye(photo, LANDMARKS, BOX, np.random.default_rng(seed)), 88, 112) > 0.9


def test_skin_is_not_dyed_where_there_is_no_mask() -> None:
    photo = person("no_mask")
    assert np.array_equal(redye(photo, LANDMARKS, BOX, np.random.default_rng(1)), photo)


def test_landmarks_that_make_no_sense_leave_the_picture_as_it_is() -> None:
    photo = person("mask")
    assert np.array_equal(redye(photo, [(100.0, 100.0)] * 5, BOX, np.random.default_rng(1)), photo)
    assert np.array_equal(redye(photo, [(-900.0, y) for y in range(5)], BOX, np.random.default_rng(1)), photo)


STILL = Strength(turn_deg=0, shear=0, stretch=0, tilt=1)


def test_face_seen_from_above_is_shorter_and_narrower_at_the_chin() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[50:150, 60:140] = 255  # a face as a white rectangle, its box
    seen = [pose(picture, BOX, np.random.default_rng(seed), STILL) for seed in range(20)]
    widths = [
        (im[round(b.y) + 8, :, 0] > 127).sum() - (im[round(b.y + b.height) - 9, :, 0] > 127).sum() for im, b in seen
    ]
    assert np.mean([b.height for _, b in seen]) < 96
    assert np.median(widths) > 5


def test_backlight_brightens_what_is_around_a_face_and_darkens_the_face() -> None:
    photo = person("no_mask").astype(float)
    lit = np.mean([backlight(person("no_mask"), BOX, np.random.default_rng(s)) for s in range(10)], axis=0)
    assert lit[:30].mean() > photo[:30].mean() + 40
    assert lit[80:120, 85:115].mean() < photo[80:120, 85:115].mean() - 20


def test_low_light_is_darker_and_noisier() -> None:
    plain = np.full((80, 80, 3), 140, np.uint8)
    dim = [low_light(plain, np.random.default_rng(s)).astype(float) for s in range(20)]
    assert np.median([d.mean() for d in dim]) < 110
    assert min(d.std() for d in dim) > 1


def usual_drawn(label: str) -> Floats:
    photo = person("no_mask")
    made = [draw_mask(photo, LANDMARKS, BOX, label, np.random.default_rng(s)) for s in range(30)]
    changed: Floats = (np.abs(np.array(made, float) - photo).max(axis=3) > 30).mean(axis=0)
    return changed


def test_drawn_mask_covers_mouth_and_nose_and_leaves_the_eyes() -> None:
    changed = usual_drawn("mask")
    assert changed[108:140, 90:110].mean() > 0.85
    assert changed[50:88, 70:130].mean() < 0.05


def test_drawn_badly_worn_mask_leaves_the_nose_bare() -> None:
    changed = usual_drawn("incorrect")
    assert changed[90:108, 92:108].mean() < 0.1
    assert changed[140:150, 92:108].mean() > 0.8


def test_face_cut_at_the_mouth_has_no_room_for_a_mask() -> None:
    assert has_room(person("no_mask"), LANDMARKS)
    assert not has_room(person("no_mask")[:130], LANDMARKS)
