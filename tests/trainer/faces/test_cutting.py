"""Photos of every bad kind: read as the device reads them, or counted by a reason of their own."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.detect import Detector
from edge.opencv import cv2
from edge.preprocess import crop_face
from edge.records import Box, Face, ImageU8
from edge.sources.images import read_image
from tests.trainer.drawn import BOX, DrawnFaceFinder, person, photo_set
from tests.trainer.faces.folders import class_folders, draw, made, why
from trainer.faces.crops import plain_crops
from trainer.faces.cutting import are_two, context, cut_photos, read_picture
from trainer.faces.manifest import read_manifest
from trainer.faces.photos import Photo
from trainer.faces.published import nearest_quality, read_header


def picture(seed: int = 1) -> Image.Image:
    return Image.fromarray(person("mask", seed)[:, :, ::-1])


def film(path: Path) -> None:
    picture(1).save(path, save_all=True, append_images=[picture(2)])


def bomb(path: Path) -> None:
    """A PNG of 40,000 x 40,000 pixels in a hundred bytes."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(bytes(100)), b"IEND"]
    made = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + made)


def cut_short(path: Path) -> None:
    whole = cv2.imencode(path.suffix, person("mask"))[1].tobytes()
    path.write_bytes(whole[: len(whole) // 2])


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "text.jpg": ("not an image", lambda p: p.write_text("hello")),
    "noise.png": ("not an image", lambda p: p.write_bytes(bytes(range(256)) * 4)),
    "nothing.jpg": ("not an image", lambda p: p.touch()),
    "Thumbs.db": ("not an image", lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0" * 9)),
    "gone.jpg": ("no such file", lambda p: p.symlink_to("nowhere.jpg")),
    "half.jpg": ("truncated", cut_short),
    "half.png": ("truncated", cut_short),
    "film.gif": ("animated", film),
    "film.png": ("animated", film),
    "film.webp": ("animated", film),
    "bomb.png": ("too large", bomb),
    "dot.png": ("picture too small", lambda p: picture().resize((1, 1)).save(p)),
    "line.png": ("picture too small", lambda p: picture().resize((200, 1)).save(p)),
    "wall.png": ("no face found", lambda p: Image.new("RGB", (120, 120), (90, 90, 90)).save(p)),
}


@pytest.fixture(scope="module")
def bad_photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The reason for which each bad photo was dropped, in one run with good ones."""
    root = tmp_path_factory.mktemp("bad")
    folder = class_folders(root / "photos")
    for name, (_, make) in BAD.items():
        make(folder / "mask" / name)
    done = made(folder, root / "set")
    assert len(done.rows) == 8
    return {Path(d.path).name: d.reason for d in done.dropped}


@pytest.mark.parametrize("name", BAD)
def test_bad_photo_is_counted_as_what_it_is_and_ends_nothing(bad_photos: dict[str, str], name: str) -> None:
    assert bad_photos[name] == BAD[name][0]


GOOD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rgb.jpg": ("RGB", lambda p: picture(1).save(p)),
    "grey.jpg": ("L", lambda p: picture(2).convert("L").save(p)),
    "cmyk.jpg": ("CMYK", lambda p: picture(3).convert("CMYK").save(p)),
    "alpha.png": ("RGBA", lambda p: picture(4).convert("RGBA").save(p)),
    "palette.png": ("P", lambda p: picture(5).quantize(64).save(p)),
    "deep.png": ("RGB", lambda p: cv2.imwrite(str(p), person("mask", 6).astype(np.uint16) * 257)),
    "deep-grey.png": ("I;16", lambda p: Image.fromarray(person("mask", 7)[:, :, 0].astype(np.uint16) * 257).save(p)),
    "still.gif": ("P", lambda p: picture(8).save(p)),
    "still.webp": ("RGB", lambda p: picture(9).save(p, quality=95)),
    "wrong-ending.png": ("RGB", lambda p: picture(10).save(p, "JPEG")),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_photo_is_read_with_the_pixels_that_the_device_sees(tmp_path: Path, name: str) -> None:
    mode, make = GOOD[name]
    make(tmp_path / name)
    read = read_picture(tmp_path / name)
    assert read.pixels.tobytes() == read_image(tmp_path / name).tobytes()
    assert read.header.mode == mode
    spread = np.abs(read.pixels.astype(int) - person("mask", list(GOOD).index(name) + 1).astype(int)).mean()
    assert spread < 60  # CMYK and grey lose colours, not the picture


def test_photo_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().resize((100, 60)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").pixels.shape == (100, 60, 3)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_quality_is_read_from_the_tables(tmp_path: Path, quality: int) -> None:
    picture().save(tmp_path / "a.jpg", quality=quality)
    assert read_header(tmp_path / "a.jpg").jpeg_quality == quality
    assert nearest_quality((1,) * 64) == 100


class Finder:
    """Finds the faces it is told of."""

    name, sure_score = "told", 0.6

    def __init__(self, *boxes: Box) -> None:
        self._faces = [Face(box, 0.9, ()) for box in boxes]

    def find(self, image_bgr: ImageU8) -> list[Face]:
        return self._faces


def reasons(tmp_path: Path, detector: Detector, box: Box | None = None) -> list[str]:
    photo = Photo(draw(tmp_path / "a.png", "mask", 1), "s", "a.png", "mask", "s:a", box)
    return [d.reason for d in cut_photos([photo], detector, tmp_path / "set", lambda: None)[1]]


LARGE, HALF, SMALL = Box(10, 10, 80, 80), Box(100, 10, 60, 60), Box(100, 10, 50, 50)


def test_two_faces_of_similar_size_where_one_was_promised_are_dropped(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(LARGE, HALF)) == ["two faces where one was promised"]


def test_face_that_is_clearly_the_largest_is_taken(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(LARGE, SMALL)) == []


def test_second_face_too_small_to_be_labelled_is_no_rival() -> None:
    assert not are_two([Face(Box(0, 0, 20, 20), 0.9, ()), Face(Box(40, 0, 17, 20), 0.9, ())])


def test_given_box_settles_which_of_two_faces_is_meant(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(LARGE, HALF), box=HALF) == []


def test_given_box_outside_the_picture_is_counted(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(), box=Box(500, 500, 40, 40)) == ["box outside the picture"]


def test_given_box_that_is_tiny_is_counted(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(), box=Box(50, 50, 10, 10)) == ["face too small"]


@pytest.mark.parametrize("box", [Box(-100_000, -100_000, 200_200, 200_200), Box(-300, 50, 810, 100)])
def test_given_box_that_no_face_in_this_picture_can_have_is_counted(tmp_path: Path, box: Box) -> None:
    assert reasons(tmp_path, Finder(), box=box) == ["bad box"]


def test_box_along_a_thin_picture_is_counted(tmp_path: Path) -> None:
    Image.new("RGB", (18, 30_000)).save(tmp_path / "thin.png")
    photo = Photo(tmp_path / "thin.png", "s", "thin.png", "mask", "s:thin", Box(0, 0, 18, 30_000))
    kept, dropped = cut_photos([photo], Finder(), tmp_path / "set", lambda: None)
    assert (kept, [d.reason for d in dropped]) == ([], ["bad box"])


def test_context_picture_is_a_pixel_wide_at_least() -> None:
    assert context(np.zeros((20_000, 20, 3), np.uint8), Box(0, 0, 20, 20_000))[0].shape == (224, 1, 3)


def test_face_that_cannot_be_cut_is_counted_and_leaves_no_picture(tmp_path: Path) -> None:
    assert reasons(tmp_path, Finder(Box(-1e8, -1e8, 2e8 + 200, 2e8 + 200))) == ["cannot be cut"]
    assert not (tmp_path / "set").exists()


def test_one_bad_line_among_good_ones_costs_its_own_face_only(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    with (folder / "labels.csv").open("a", newline="") as f:
        f.write("with_mask0.png,with_mask,p0,-100000,-100000,200200,200200,\n")
    done = made(folder, tmp_path / "set")
    assert len(done.rows) == 18
    assert [(d.path, d.reason) for d in done.dropped] == [("photos/with_mask0.png", "bad box")]


def test_given_box_is_kept_where_the_detector_finds_nothing(tmp_path: Path) -> None:
    photo = Photo(draw(tmp_path / "a.png", "mask", 1), "s", "a.png", "mask", "s:a", BOX)
    kept, _ = cut_photos([photo], Finder(), tmp_path / "set", lambda: None)
    assert [k.row.found_by for k in kept] == ["given"]


def test_crop_from_context_picture_equals_crop_from_photo() -> None:
    photo = person("mask")
    patch, left, top, factor = context(photo, BOX)
    assert factor == 1.0
    moved = Box(BOX.x - left, BOX.y - top, BOX.width, BOX.height)
    assert np.array_equal(crop_face(patch, moved, 0.05, 96), crop_face(photo, BOX, 0.05, 96))


def test_trainer_and_edge_make_equal_bytes_of_the_same_face(tmp_path: Path) -> None:
    made(photo_set(tmp_path / "photos"), tmp_path / "set")
    row = read_manifest(tmp_path / "set")[0]
    frame = cv2.imread(str(tmp_path / "set" / row.path))
    assert frame is not None
    on_device = crop_face(frame.astype(np.uint8), row.box, 0.2, 128)  # what edge.classify.Classifier.read does
    assert plain_crops(tmp_path / "set", [row], 0.2, 128)[0].tobytes() == on_device.tobytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_photo_that_may_not_be_read_is_counted(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    (folder / "mask" / "0.png").chmod(0)
    assert why(made(folder, tmp_path / "set").dropped, "mask/0.png") == "may not be read"


def test_detector_that_is_used_says_so(tmp_path: Path) -> None:
    photo = Photo(draw(tmp_path / "a.png", "mask", 1), "s", "a.png", "mask", "s:a")
    kept, _ = cut_photos([photo], DrawnFaceFinder(), tmp_path / "set", lambda: None)
    assert [(k.row.found_by, k.row.file_type, k.row.photo_width) for k in kept] == [("detector", "png", 200)]
