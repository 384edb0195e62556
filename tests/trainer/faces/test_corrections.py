"""Labels put right by a person: the table is read strictly, and what it says is what is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import DataError, InputMissing
from edge.records import Box
from trainer.faces.corrections import correct, read_corrections
from trainer.faces.photos import Found, Photo


def photo(name: str, label: str, box: Box | None = None) -> Photo:
    return Photo(Path(name), "street", name, label, f"street:{name}", box)


def table(folder: Path, text: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text(text)
    return path


def test_labels_are_read_as_they_are_spelled_elsewhere(tmp_path: Path) -> None:
    path = table(tmp_path, "photo,label\nstreet/a.jpg,With Mask\nstreet/b.jpg,badly_worn\nstreet/c.jpg,doubtful\n")
    read = read_corrections(path)
    assert read == {"street/a.jpg": "mask", "street/b.jpg": "incorrect", "street/c.jpg": "doubtful"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("photo,label\nstreet/a.jpg,maybe\n", "line 2: label 'maybe'"),
        ("photo,label\nstreet/a.jpg\n", "line 2: label None"),
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
    assert done.notes == ["2 labels put right or left out, 1 corrections met no photo"]


def test_a_photo_of_two_faces_is_refused() -> None:
    two = [photo("a.jpg", "mask", Box(0, 0, 40, 40)), photo("a.jpg", "no_mask", Box(50, 0, 40, 40))]
    with pytest.raises(DataError, match=r"street/a\.jpg, which shows 2 faces"):
        correct(Found(two), {"street/a.jpg": "mask"})
