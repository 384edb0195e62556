"""Labels put right by a person: the table is read strictly, and what it says is what is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainer.commands
from edge.errors import DataError, InputMissing
from edge.records import Box
from tests.trainer.drawn import DrawnFaceFinder, photo_set
from trainer.__main__ import main
from trainer.faces.corrections import correct, read_corrections
from trainer.faces.photos import Found, Photo


def photo(name: str, label: str, box: Box | None = None) -> Photo:
    return Photo(Path(name), "street", name, label, f"street:{name}", box)


def table(folder: Path, text: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_are_read_as_they_are_spelled_elsewhere(tmp_path: Path) -> None:
    path = table(tmp_path, "photo,label\nstreet/a.jpg,With Mask\nstreet/b.jpg,badly_worn\nstreet/c.jpg,doubtful\n")
    read = read_corrections(path)
    assert read == {"street/a.jpg": "mask", "street/b.jpg": "incorrect", "street/c.jpg": "doubtful"}


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    assert read_corrections(table(tmp_path, "\ufeffphoto,label\nstreet/a.jpg,mask\n")) == {"street/a.jpg": "mask"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("photo,label\nstreet/a.jpg,maybe\n", "line 2: label 'maybe'"),
        ("photo,label\nstreet/a.jpg\n", "line 2: label None"),
        ("label,photo\nmask\n", "line 2: names no photo"),
        ("name,label\nstreet/a.jpg,mask\n", "no column photo"),
        ("", "no column photo or label"),
        ("photo,label\nstreet/a.jpg,mask\nstreet/a.jpg,no_mask\n", "line 3: street/a.jpg has another label"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        read_corrections(table(tmp_path, text))


def test_an_absent_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="--corrections"):
        read_corrections(tmp_path / "none.csv")


def test_a_label_is_put_right_and_a_doubtful_photo_is_named_among_the_dropped() -> None:
    found = Found([photo("a.jpg", "mask"), photo("b.jpg", "mask"), photo("c.jpg", "no_mask")])
    done = correct(found, {"street/a.jpg": "no_mask", "street/b.jpg": "doubtful", "other/x.jpg": "mask"})
    assert [(p.name, p.label) for p in done.photos] == [("a.jpg", "no_mask"), ("c.jpg", "no_mask")]
    assert [(d.path, d.label, d.reason) for d in done.dropped] == [("street/b.jpg", "mask", "doubtful label")]
    assert done.notes == ["2 labels put right or left out, 1 corrections met no photo: other/x.jpg"]


def test_of_many_corrections_that_met_no_photo_the_first_are_named() -> None:
    done = correct(Found([photo("a.jpg", "mask")]), {f"street/{name}.jpg": "mask" for name in "abcdef"})
    note = "5 corrections met no photo: street/b.jpg, street/c.jpg, street/d.jpg, ..."
    assert done.notes == [f"1 labels put right or left out, {note}"]


def test_a_correction_is_named_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer.commands.prepare, "open_detector", lambda _name, _file: DrawnFaceFinder())
    right = table(tmp_path, "photo,label\nstreet/[/a].jpg,mask\n")
    photos, out = photo_set(tmp_path / "photos"), tmp_path / "set"
    assert main(["prepare", str(photos), "--corrections", str(right), "--out", str(out)]) == 0
    assert "met no photo: street/[/a].jpg" in capsys.readouterr().err


def test_a_photo_of_two_faces_is_refused() -> None:
    two = [photo("a.jpg", "mask", Box(0, 0, 40, 40)), photo("a.jpg", "no_mask", Box(50, 0, 40, 40))]
    with pytest.raises(DataError, match=r"street/a\.jpg, which shows 2 faces"):
        correct(Found(two), {"street/a.jpg": "mask"})
