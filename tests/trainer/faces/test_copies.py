"""Copies go, near ones stay together, strangers stay."""

from pathlib import Path

import numpy as np
import pytest

from edge.opencv import cv2
from edge.records import Face, ImageU8
from tests.trainer.drawn import BOX, DrawnFaceFinder, person
from tests.trainer.faces.folders import class_folders, draw, made
from trainer.faces.copies import Sifted, sift
from trainer.faces.cutting import CutFace, cut_photos
from trainer.faces.fingerprints import near
from trainer.faces.photos import Photo


class MirroredFinder(DrawnFaceFinder):
    def find(self, image_bgr: ImageU8) -> list[Face]:
        scale = image_bgr.shape[1] / 200
        return [Face(BOX._replace(**{k: v * scale for k, v in BOX._asdict().items()}), 0.9, ())]


def faces(tmp_path: Path, pictures: dict[str, ImageU8]) -> list[CutFace]:
    """Pictures by ``label/name``; each its own group."""
    photos = []
    for name, pixels in pictures.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
        photos.append(Photo(path, "s", name, path.parent.name, f"s:{name}"))
    return cut_photos(photos, MirroredFinder(), tmp_path / "set", lambda: None)[0]


def fate(done: Sifted) -> dict[str, str]:
    return {d.path: d.reason for d in done.dropped}


ONE = person("mask", 3)
COPIES = {
    "resaved": cv2.imdecode(cv2.imencode(".jpg", ONE, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
    "halved": cv2.resize(ONE, (100, 100), interpolation=cv2.INTER_AREA),
    "mirrored": ONE[:, ::-1],
    "brightened": np.clip(ONE * 1.2 + 10, 0, 255),
    "tinted": np.clip(ONE * (0.8, 1.0, 1.1), 0, 255),
}


@pytest.mark.parametrize("change", COPIES)
def test_copy_is_dropped_and_named(tmp_path: Path, change: str) -> None:
    copy = COPIES[change].astype(np.uint8)
    done = sift(faces(tmp_path, {"mask/1.png": ONE, "mask/2.png": copy, "mask/3.png": person("mask", 5)}))
    assert list(fate(done).values()) == ["near-duplicate"]
    assert done.dropped[0].detail.startswith("of s/mask/")
    assert len(done.rows) == 2


def test_larger_copy_stays(tmp_path: Path) -> None:
    small = cv2.resize(ONE, (100, 100), interpolation=cv2.INTER_AREA).astype(np.uint8)
    done = sift(faces(tmp_path, {"mask/small.png": small, "mask/large.png": ONE}))
    assert [r.origin for r in done.rows] == ["s/mask/large.png"]


def test_sharper_of_two_equally_large_copies_stays(tmp_path: Path) -> None:
    blurred = cv2.GaussianBlur(ONE, (0, 0), 1.2).astype(np.uint8)
    done = sift(faces(tmp_path, {"mask/blurred.png": blurred, "mask/sharp.png": ONE}))
    assert [r.origin for r in done.rows] == ["s/mask/sharp.png"]


def test_exact_copy_has_a_reason_of_its_own(tmp_path: Path) -> None:
    done = sift(faces(tmp_path, {"mask/1.png": ONE, "mask/2.png": ONE}))
    assert fate(done) == {"s/mask/2.png": "exact copy"}


def test_copies_that_disagree_about_the_label_all_go(tmp_path: Path) -> None:
    pictures = {"mask/1.png": ONE, "mask/2.png": ONE, "no_mask/3.png": COPIES["resaved"], "mask/4.png": person("mask")}
    done = sift(faces(tmp_path, {name: p.astype(np.uint8) for name, p in pictures.items()}))
    assert set(fate(done).values()) == {"label conflict"}
    assert [r.origin for r in done.rows] == ["s/mask/4.png"]
    assert "s/no_mask/3.png (no_mask)" in done.dropped[0].detail


def test_people_in_one_pose_before_one_wall_are_no_copies(tmp_path: Path) -> None:
    wall = person("no_mask", 0)
    pictures = {}
    for seed in range(6):
        photo = wall.copy()
        photo[40:160, 50:150] = person("no_mask", seed)[40:160, 50:150]  # the door's camera sees the same wall
        pictures[f"no_mask/{seed}.png"] = photo
    assert fate(sift(faces(tmp_path, pictures))) == {}


def test_one_person_with_and_without_a_mask_is_no_copy(tmp_path: Path) -> None:
    done = sift(faces(tmp_path, {"mask/1.png": person("mask", 3), "no_mask/2.png": person("no_mask", 3)}))
    assert fate(done) == {}


def test_faces_that_are_near_become_one_group(tmp_path: Path) -> None:
    pictures = {"mask/1.png": person("mask", 5), "incorrect/2.png": person("incorrect", 5), "mask/3.png": ONE}
    groups = {r.origin: r.group for r in sift(faces(tmp_path, pictures)).rows}
    assert groups["s/mask/1.png"] == groups["s/incorrect/2.png"] != groups["s/mask/3.png"]


def test_one_photo_under_two_names_is_one_group(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    draw(folder / "no_mask" / "copy.png", "no_mask", 100)
    done = made(folder, tmp_path / "set")
    assert [d.reason for d in done.dropped] == ["exact copy"]


def test_hashes_within_the_limit_are_pairs() -> None:
    hashes = np.array([0xFF, 0xFE, 0x0F0F0F0F0F0F0F0F], np.uint64)
    assert near(hashes, hashes, max_bits=2).tolist() == [[0, 1]]
