import numpy as np
import numpy.typing as npt
import pytest

from edge.records import Box
from tests.trainer.drawn import BOX, MASK_BLUE, person, row
from trainer.learn.augment import augmented_crop, occlude
from trainer.learn.transplant import donors, pick, transplant

Floats = npt.NDArray[np.float64]
LABELS = ("mask", "no_mask", "incorrect")


@pytest.mark.parametrize("label", LABELS)
def test_crops_have_the_models_shape_whatever_is_drawn(label: str) -> None:
    for seed in range(40):
        crop = augmented_crop(person(label), BOX, label, np.random.default_rng(seed), margin=0.2, size_px=64)
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
    assert np.array_equal(photo, kept)


def test_what_hides_a_face_hides_its_lower_half() -> None:
    photo = person("no_mask")
    hidden = [occlude(photo, BOX, np.random.default_rng(s)).astype(float) for s in range(30)]
    changed = np.abs(np.array(hidden) - photo).mean(axis=(0, 3))
    assert changed[100:150, 60:140].mean() > 3 * changed[50:90, 60:140].mean()


def blueness(image: Floats, top: int, bottom: int) -> float:
    """Share of the face's middle between two rows that has the drawn mask's colour."""
    patch = image[top:bottom, 85:115].astype(float)
    return float((np.abs(patch - MASK_BLUE).max(axis=2) < 40).mean())


def moved_mask(label: str) -> Floats:
    taker, lender = row("no_mask"), row("mask")
    pictures = person("no_mask"), person("mask")
    rng = np.random.default_rng(3)
    made = [transplant(pictures[0], taker, pictures[1], lender, label, rng=rng) for _ in range(20)]
    usual: Floats = np.median(made, axis=0)
    return usual


def test_transplanted_mask_covers_nose_and_mouth() -> None:
    assert blueness(moved_mask("mask"), 103, 140) > 0.8


def test_transplanted_badly_worn_mask_leaves_the_nose_bare() -> None:
    worn = moved_mask("incorrect")
    assert blueness(worn, 90, 108) < 0.1
    assert blueness(worn, 135, 148) > 0.5


def test_lenders_of_bare_halves_are_bare() -> None:
    people = donors([row("mask", path=f"{i}.jpg") for i in range(4)] + [row("no_mask"), row("no_mask", path="b.jpg")])
    pairs = [pick(people, "no_mask", np.random.default_rng(s)) for s in range(20)]
    assert all(pair and not pair[0].masked and not pair[1].masked for pair in pairs)


def test_small_or_doubtful_faces_lend_nothing() -> None:
    assert donors([row(shorter_px=30.0), row(flags="pasted"), row(landmarks=""), row("incorrect")]) == []


def test_without_anyone_to_take_there_is_no_pair() -> None:
    assert pick(donors([row("mask")]), "incorrect", np.random.default_rng(1)) is None
