"""Still pictures and folders of them."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataError, InputMissing, UsageError
from edge.records import ImageU8
from edge.sources import open_source, read_image
from edge.sources.images import natural_key
from tests.edge.sources.clips import read_all, read_until_error

RED, GREEN, BLUE, BLACK = (0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 0, 0)
# Where the four corners (top left, top right, bottom left, bottom right) of the stored picture are seen, by EXIF tag.
UPRIGHT = {
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (2, 0, 3, 1),
    7: (3, 1, 2, 0),
    8: (1, 3, 0, 2),
}


def four_corners(height: int = 48, width: int = 64) -> ImageU8:
    """Red, green, blue and black quarters: tells every turn and mirror apart."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2] = BLUE
    return image


def corners(image: ImageU8) -> list[tuple[int, ...]]:
    return [tuple(int(v > 127) * 255 for v in image[y, x]) for y, x in ((4, 4), (4, -4), (-4, 4), (-4, -4))]


def noise(height: int = 240, width: int = 320) -> ImageU8:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def save(path: Path, image: object) -> Path:
    assert cv2.imwrite(str(path), image)  # type: ignore[call-overload]
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an EXIF segment that holds nothing but the orientation behind a JPEG's start marker."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "webp", "tif", "jp2", "ppm"])
def test_picture_of_every_usual_kind_is_read_as_bgr(tmp_path: Path, kind: str) -> None:
    assert corners(read_image(save(tmp_path / f"a.{kind}", four_corners()))) == [RED, GREEN, BLUE, BLACK]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "a.jpg", four_corners())
    path.write_bytes(with_orientation(path.read_bytes(), orientation))
    image = read_image(path)
    stored = [RED, GREEN, BLUE, BLACK]
    assert corners(image) == [stored[i] for i in UPRIGHT[orientation]]
    assert image.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))


def test_grey_alpha_sixteen_bits_and_a_single_pixel_become_bgr(tmp_path: Path) -> None:
    grey = np.full((5, 7), 40_000, np.uint16)
    assert read_image(save(tmp_path / "g16.png", grey)).tolist() == np.full((5, 7, 3), 40_000 >> 8).tolist()
    assert read_image(save(tmp_path / "g.png", np.full((5, 7), 9, np.uint8))).shape == (5, 7, 3)
    assert read_image(save(tmp_path / "a.png", np.full((5, 7, 4), 9, np.uint8))).shape == (5, 7, 3)
    assert read_image(save(tmp_path / "1.png", np.full((1, 1, 3), 9, np.uint8))).shape == (1, 1, 3)


def test_cmyk_jpeg_becomes_bgr() -> None:
    image = read_image(Path(__file__).parent / "cmyk.jpg")  # the four corners, written by Pillow
    assert corners(image) == [RED, GREEN, BLUE, BLACK]


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("left", [40, 1024, 20_000])
def test_truncated_picture_is_an_error_that_tells_how_much_is_there(
    tmp_path: Path, kind: str, left: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / f"a.{kind}", noise())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=rf"^not an image: truncated after {left:,} bytes$"):
        read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["bmp", "tif", "jp2"])
def test_truncated_picture_of_another_kind_is_an_error(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / f"a.{kind}", noise())
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"^not an image: "):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_progressive_jpeg_and_bytes_after_the_end_are_fine_but_its_half_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), noise(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4])
    whole = path.read_bytes()
    path.write_bytes(whole + b"a whole film from a phone")
    assert read_image(path).shape == (240, 320, 3)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated"):
        read_image(path)


def test_thumbnail_in_exif_does_not_pass_for_the_end_of_a_cut_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", noise())
    jpeg = path.read_bytes()
    thumbnail = b"Exif\0\0" + jpeg[:2000] + b"\xff\xd9"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + jpeg[2:9000])
    with pytest.raises(DataError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("magic", ["jpg", "png"])
def test_picture_of_too_many_pixels_is_refused_before_it_takes_memory(tmp_path: Path, magic: str) -> None:
    path = save(tmp_path / f"a.{magic}", np.zeros((8, 8, 3), np.uint8))
    data = bytearray(path.read_bytes())
    if magic == "png":
        data[16:24] = struct.pack(">II", 30_000, 30_000)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"^not an image: too large, at most 100,000,000 pixels are read$"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "the file is empty"), (b"just some words", "it holds text"), (bytes(500), "damaged, or of a kind")],
)
def test_file_that_is_no_picture_tells_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^not an image: {words}"):
        read_image(path)


def test_picture_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no such file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="not a file"):
        read_image(tmp_path)


def test_folder_is_read_in_the_order_people_number_at_the_stated_rate(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"shot{number}.png", np.full((4, 4, 3), number, np.uint8))
    save(tmp_path / ".hidden.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    frames = read_all(open_source(str(tmp_path), images_fps=4))
    assert [(f.image_bgr[0, 0, 0], f.index, f.t_s) for f in frames] == [(1, 0, 0.0), (2, 1, 0.25), (10, 2, 0.5)]


def test_broken_picture_of_a_folder_is_left_out_and_named_at_the_end(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.jpg", noise())
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:1024])
    frames, error = read_until_error(open_source(str(tmp_path)))
    assert [f.t_s for f in frames] == [0.0, 0.4]
    assert isinstance(error, DataError)
    assert "1 of 3 images could not be read, the first is " in str(error)
    assert "b.jpg: not an image: truncated after 1,024 bytes; the others were used" in str(error)


def test_glob_takes_what_it_matches_and_one_picture_is_a_source_too(tmp_path: Path) -> None:
    for name in ("in1", "in2", "out"):
        save(tmp_path / f"{name}.png", noise(4, 4))
    assert len(read_all(open_source(str(tmp_path / "in*.png")))) == 2
    assert len(read_all(open_source(str(tmp_path / "out.png")))) == 1


@pytest.mark.parametrize("spec", ["", "nothing*.png"])
def test_folder_or_glob_without_pictures_is_missing_input(tmp_path: Path, spec: str) -> None:
    with pytest.raises(InputMissing, match="there is no image here"):
        open_source(str(tmp_path / spec))


@pytest.mark.parametrize("spec", ["", "webcam:0", "http://camera/stream", "picamera:0"])
def test_unknown_kind_of_source_lists_what_is_known(spec: str) -> None:
    with pytest.raises(UsageError, match=r"v4l2:/dev/video0, picamera2:0, rtsp://host/path, scripted:FILE\.toml"):
        open_source(spec)


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["b10", "B9", "a", "b2", "10", "9"]
    assert sorted(map(Path, names), key=natural_key) == list(map(Path, ["9", "10", "a", "b2", "B9", "b10"]))
