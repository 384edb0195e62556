"""Snapshots of one moment are one group; the moment is the camera's, never the file's date."""

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.trainer.drawn import BOX
from tests.trainer.faces.folders import draw, voc_scene
from trainer.faces.groups import bursts, join_groups
from trainer.faces.photos import Photo
from trainer.faces.published import time_in_name, time_taken
from trainer.faces.sources import read_sources


def group_of(folder: Path) -> dict[str, str]:
    return {p.path.name: p.group for p in read_sources([folder]).photos}


def test_snapshots_within_ten_seconds_are_one_group_whatever_their_label(tmp_path: Path) -> None:
    door = tmp_path / "door"
    draw(door / "mask" / "2026-11-23T08-15-02.123Z.jpg", "mask", 1)
    draw(door / "no_mask" / "2026-11-23T08-15-09.500Z.jpg", "no_mask", 2)
    draw(door / "mask" / "2026-11-23T08-15-18Z.jpg", "mask", 3)
    draw(door / "mask" / "2026-11-23T08-15-40Z.jpg", "mask", 4)
    groups = list(group_of(door).values())
    assert len(groups) == 4
    assert len(set(groups)) == 2


def test_snapshots_with_annotations_or_in_a_table_are_bursts_too(tmp_path: Path) -> None:
    names = [f"2026-11-23T08-15-0{i}" for i in range(4)]
    for i, name in enumerate(names):
        draw(tmp_path / "voc" / f"{name}.jpg", "mask", i)
        draw(tmp_path / "table" / f"{name}.jpg", "mask", i)
        (tmp_path / "voc" / f"{name}.xml").write_text(voc_scene(BOX, "mask", "mask"))
    (tmp_path / "table" / "labels.csv").write_text("path,label\n" + "".join(f"{name}.jpg,mask\n" for name in names))
    for source in ("voc", "table"):
        groups = group_of(tmp_path / source)
        assert len(groups) == 4
        assert len(set(groups.values())) == 1, source


def test_queue_without_a_gap_is_parted_every_minute() -> None:
    photos = [Photo(Path(f"{i}"), "door", f"{i}", "mask", f"door:{i}") for i in range(60)]
    together = bursts(photos, {f"{i}": 5.0 * i for i in range(60)})
    sizes = Counter(p.group for p in join_groups(photos, together)).values()
    assert sum(sizes) == 60
    assert max(sizes) == 13  # 0 s to 60 s
    assert len(sizes) == 5


def test_exif_goes_before_the_name(tmp_path: Path) -> None:
    for name, moment in (("IMG_1.jpg", "2026:11:23 08:15:02"), ("20200101_000000.jpg", "2026:11:23 08:15:04")):
        path = draw(tmp_path / "a" / "mask" / name, "mask", len(name))
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = moment
        Image.open(path).save(path, exif=exif)
    assert len(set(group_of(tmp_path / "a").values())) == 1


def test_date_of_the_file_says_nothing(tmp_path: Path) -> None:
    for i in range(2):
        os.utime(draw(tmp_path / "a" / "mask" / f"{i}.png", "mask", i), (1.0, 1.0))
    assert len(set(group_of(tmp_path / "a").values())) == 2


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("20261123_081502.jpg", 1795421702.0),
        ("front-door-2026-11-23 08.15.02.jpg", 1795421702.0),
        ("IMG_20261123_081502123.jpg", 1795421702.123),
        ("1795421702.jpg", 1795421702.0),
        ("snapshot-1795421702123.jpg", 1795421702.123),
        ("20261399_991502.jpg", None),
        ("20260231_081502.jpg", None),
        ("photo-12.jpg", None),
    ],
)
def test_time_in_a_name(name: str, seconds: float | None) -> None:
    assert time_in_name(name) == (seconds if seconds is None else pytest.approx(seconds))


def test_broken_file_has_the_time_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "20261123_081502.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe1\x00\x08Exif")
    assert time_taken(path) == 1795421702.0
