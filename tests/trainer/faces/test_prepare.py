from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError, InputMissing
from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import Box
from tests.trainer.drawn import BOX, DrawnFaceFinder, person, photo_set
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import read_manifest, straddling_groups
from trainer.faces.prepare import Cutting, context, join_people, prepare, read_sources


def made(tmp_path: Path, folder: Path, share: float = 0.3) -> Cutting:
    photos = read_sources([folder])
    return prepare(photos, DrawnFaceFinder(), tmp_path / "set", held_out_sources=[], share=share, seed=1)


def test_every_labelled_face_is_kept_with_its_label(tmp_path: Path) -> None:
    made(tmp_path, photo_set(tmp_path / "photos"))
    rows = read_manifest(tmp_path / "set")
    assert sorted({r.label for r in rows}) == ["incorrect", "mask", "no_mask"]
    assert len(rows) == 18
    assert {r.found_by for r in rows} == {"detector"}


def test_no_group_straddles_in_a_prepared_set(tmp_path: Path) -> None:
    made(tmp_path, photo_set(tmp_path / "photos"))
    rows = read_manifest(tmp_path / "set")
    assert straddling_groups(rows) == []
    assert {r.split for r in rows} == {"train", "held_out"}


def test_crop_from_context_picture_equals_crop_from_photo() -> None:
    photo = person("mask")
    picture, left, top, factor = context(photo, BOX)
    assert factor == 1.0
    moved = Box(BOX.x - left, BOX.y - top, BOX.width, BOX.height)
    assert np.array_equal(crop_face(picture, moved, 0.05, 96), crop_face(photo, BOX, 0.05, 96))


def test_trainer_and_edge_make_equal_bytes_of_the_same_face(tmp_path: Path) -> None:
    made(tmp_path, photo_set(tmp_path / "photos"))
    row = read_manifest(tmp_path / "set")[0]
    frame = cv2.imread(str(tmp_path / "set" / row.path))
    assert frame is not None
    on_device = crop_face(frame.astype(np.uint8), row.box, 0.2, 128)  # what edge.classify.Classifier.read does
    assert plain_crops(tmp_path / "set", [row], 0.2, 128)[0].tobytes() == on_device.tobytes()


def test_broken_photo_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    (folder / "with_mask0.png").write_bytes(b"not an image")
    (folder / "with_mask1.png").write_bytes(b"")
    (folder / "with_mask2.png").unlink()
    cutting = made(tmp_path, folder)
    assert cutting.dropped["photos", "cannot be read"] == 3
    assert len(cutting.rows) == 15


def test_unknown_label_is_counted_by_name(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    table = (folder / "labels.csv").read_text().replace("with_mask0.png,with_mask,", "with_mask0.png,veil,")
    (folder / "labels.csv").write_text(table)
    assert made(tmp_path, folder).dropped["photos", "label 'veil' is not known"] == 1


def test_exact_copy_is_dropped_once(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    (folder / "with_mask1.png").write_bytes((folder / "with_mask0.png").read_bytes())
    assert made(tmp_path, folder).dropped["photos", "exact copy"] == 1


def test_copies_that_disagree_about_the_label_are_both_dropped(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    (folder / "without_mask0.png").write_bytes((folder / "with_mask0.png").read_bytes())
    assert made(tmp_path, folder).dropped["photos", "copies with different labels"] == 2


def test_photo_without_box_and_without_face_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "mask").mkdir(parents=True)
    cv2.imwrite(str(folder / "mask" / "wall.two.dots.png"), np.full((120, 120, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "mask" / "someone.png"), person("mask"))
    cutting = made(tmp_path, folder)
    assert cutting.dropped["plain", "no face found"] == 1
    assert [r.label for r in cutting.rows] == ["mask"]


def test_grey_alpha_and_tiny_photos_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    (folder / "no_mask").mkdir(parents=True)
    face = person("no_mask")
    cv2.imwrite(str(folder / "no_mask" / "grey.png"), cv2.cvtColor(face, cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(folder / "no_mask" / "alpha.png"), cv2.cvtColor(person("no_mask", 1), cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(folder / "no_mask" / "deep.png"), person("no_mask", 2).astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "no_mask" / "dot.png"), face[:1, :1])
    cutting = made(tmp_path, folder)
    assert len(cutting.rows) == 3
    assert cutting.dropped["odd", "too small"] == 1


def test_sources_that_number_the_same_people_share_groups(tmp_path: Path) -> None:
    photos = read_sources([photo_set(tmp_path / "street"), photo_set(tmp_path / "airport")])
    groups = {p.group for p in join_people(photos, [("street", "airport")])}
    assert groups == {f"street:p{i}" for i in range(6)}


def test_two_runs_give_the_same_manifest(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    first, again = made(tmp_path / "a", folder), made(tmp_path / "b", folder)
    assert first == again


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nowhere"):
        read_sources([tmp_path / "nowhere"])


def test_folder_with_other_names_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match="no_mask/"):
        read_sources([tmp_path])
