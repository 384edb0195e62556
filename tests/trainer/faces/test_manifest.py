from pathlib import Path

import pytest

from edge.errors import DataError, InputMissing
from tests.trainer.drawn import LANDMARKS, row
from trainer.faces.manifest import MANIFEST, read_manifest, refuse_straddling, write_manifest


def test_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [row("mask"), row("incorrect", path="b.jpg", flags="beard hat", split="held_out")]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path) == rows


def test_landmarks_come_back_as_points() -> None:
    assert row().points == LANDMARKS


def test_face_without_landmarks_has_no_points() -> None:
    assert row(landmarks="").points == ()


def test_folder_without_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="trainer prepare"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("change", [{"label": "helmet"}, {"split": "validation"}, {"width": 0.0}])
def test_bad_row_is_refused_with_its_line(tmp_path: Path, change: dict[str, object]) -> None:
    write_manifest(tmp_path, [row(), row(**change)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"{MANIFEST}:3"):
        read_manifest(tmp_path)


def test_manifest_of_another_tool_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("file,class\na.jpg,mask\n")
    with pytest.raises(DataError, match="lacks the columns"):
        read_manifest(tmp_path)


def test_group_on_both_sides_of_the_split_is_refused() -> None:
    with pytest.raises(DataError, match="drawn:a"):
        refuse_straddling([row(split="train"), row(split="held_out")])


def test_set_of_an_older_version_is_read_without_what_it_lacks(tmp_path: Path) -> None:
    write_manifest(tmp_path, [row(photo_width=640, mode="RGB")])
    lines = [line.split(",")[:16] for line in (tmp_path / MANIFEST).read_text().splitlines()]
    (tmp_path / MANIFEST).write_text("\n".join(",".join(line) for line in lines))
    assert read_manifest(tmp_path) == [row()]
