"""What a folder may look like, and what is said where it looks otherwise."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.errors import DataError, InputMissing, UsageError
from tests.trainer.drawn import BOX, photo_set
from tests.trainer.faces.folders import class_folders, draw, voc_scene, why
from trainer.faces.labels import Naming
from trainer.faces.photos import Found, Photo
from trainer.faces.sources import read_sources


def labels_by_name(photos: list[Photo]) -> dict[str, str]:
    return {p.name: p.label for p in photos}


def test_folders_are_labels_in_any_spelling(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", each=1, names=("With Mask", "NO-MASK"))
    photos = read_sources([tmp_path / "a"]).photos
    assert labels_by_name(photos) == {"NO-MASK/0.png": "no_mask", "With Mask/0.png": "mask"}


def test_split_that_came_with_the_photos_is_dealt_anew_and_says_so(tmp_path: Path) -> None:
    for part in ("Train", "Validation"):
        class_folders(tmp_path / "reference" / part, each=2, names=("Mask", "No_mask"))
    found = read_sources([tmp_path / "reference"])
    assert len({p.group for p in found.photos}) == 8
    assert labels_by_name(found.photos)["Train/No_mask/1.png"] == "no_mask"
    assert "Train, Validation" in found.notes[0]
    assert "anew" in found.notes[0]


def test_folder_inside_a_class_folder_is_a_person_under_every_label(tmp_path: Path) -> None:
    for label in ("mask", "no_mask"):
        draw(tmp_path / "door" / label / "anna" / "1.png", label, 1)
        draw(tmp_path / "door" / label / "images" / "2.png", label, 2)
    groups = {p.name: p.group for p in read_sources([tmp_path / "door"]).photos}
    assert groups["mask/anna/1.png"] == groups["no_mask/anna/1.png"] == "door:anna"
    assert groups["mask/images/2.png"] != groups["no_mask/images/2.png"]


def test_names_with_dots_spaces_accents_and_no_ending_are_photos_too(tmp_path: Path) -> None:
    names = {"a.b.c.png", "my photo (1).png", "snapshot", "Größe日本.png", ".hidden.png"}
    for i, name in enumerate(sorted(names)):
        draw(tmp_path / "a" / "mask" / name, "mask", i)
    assert {p.path.name for p in read_sources([tmp_path / "a"]).photos} == names


def test_word_of_ones_own_is_mapped_for_folders_tables_and_annotations(tmp_path: Path) -> None:
    naming = Naming(["bare=no_mask", "Face covered=mask"])
    class_folders(tmp_path / "folders", each=1, names=("face_covered", "bare"))
    draw(tmp_path / "table" / "1.png", "mask", 1)
    (tmp_path / "table" / "labels.csv").write_text("path,label\n1.png,FACE COVERED\n")
    draw(tmp_path / "voc" / "1.png", "mask", 1)
    (tmp_path / "voc" / "1.xml").write_text(voc_scene(BOX, "face covered"))
    found = read_sources([tmp_path / name for name in ("folders", "table", "voc")], naming)
    assert [p.label for p in found.photos] == ["no_mask", "mask", "mask", "mask"]


@pytest.mark.parametrize("pair", ["bare", "=mask", "bare=helmet"])
def test_map_that_names_no_label_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="WORD=LABEL"):
        Naming([pair])


def test_folders_without_a_known_name_are_listed_with_the_remedy(tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", each=2, names=("cats", "dogs"))
    with pytest.raises(DataError, match=r"cats/ \(2\), dogs/ \(2\).*--map cats=no_mask"):
        read_sources([tmp_path / "pets"])


def test_folder_of_another_name_beside_known_ones_is_counted(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", each=1)
    draw(tmp_path / "a" / "unsure" / "7.png", "mask", 7)
    found = read_sources([tmp_path / "a"])
    assert why(found.dropped, "unsure/7.png") == "in no folder with a label"


def test_folder_of_sources_is_not_read_as_one(tmp_path: Path) -> None:
    photo_set(tmp_path / "all" / "mask", people=1)
    with pytest.raises(DataError, match="name each source"):
        read_sources([tmp_path / "all"])


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [class_folders(tmp_path / site / "photos", each=1) for site in ("north", "south")]
    with pytest.raises(UsageError, match=r"both called photos.*rename one"):
        read_sources(folders)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nowhere"):
        read_sources([tmp_path / "nowhere"])


def test_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no_mask/"):
        read_sources([tmp_path])


# labels.csv


def table(folder: Path, text: str) -> Path:
    draw(folder / "1.png", "mask", 1)
    (folder / "labels.csv").write_text(text)
    return folder


def test_scene_with_many_boxes_gives_a_face_for_each(tmp_path: Path) -> None:
    folder = table(tmp_path / "a", "path,label,x,y,w,h,group\n1.png,mask,1,2,30,40,g\n1.png,no_mask,50,2,30,40,g\n")
    photos = read_sources([folder]).photos
    assert [(p.label, p.box and p.box.x, p.group) for p in photos] == [("mask", 1, "a:g"), ("no_mask", 50, "a:g")]


@pytest.mark.parametrize("box", ["1,2,wide,40", "1,2,30,", "1,2,0,40", "1,2,-3,40", "nan,2,30,40"])
def test_bad_numbers_are_counted_with_their_line(tmp_path: Path, box: str) -> None:
    folder = table(tmp_path / "a", f"path,label,x,y,w,h\n1.png,mask,1,2,30,40\n1.png,no_mask,{box}\n")
    found = read_sources([folder])
    assert [p.label for p in found.photos] == ["mask"]
    assert found.dropped[0].reason == "bad box"
    assert "line 3" in found.dropped[0].detail


def test_label_that_is_not_known_is_counted_by_name(tmp_path: Path) -> None:
    found = read_sources([table(tmp_path / "a", "path,label\n1.png,mask\n1.png,veil\n")])
    assert [d.reason for d in found.dropped] == ["label 'veil' is not known"]


def test_photo_that_the_table_forgot_is_counted(tmp_path: Path) -> None:
    folder = table(tmp_path / "a", "path,label\n1.png,mask\n")
    draw(folder / "more" / "2.png", "mask", 2)
    film = draw(folder / "more" / "still.gif", "mask", 3)
    assert film.is_file()
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    dropped = read_sources([folder]).dropped
    assert {d.path: d.reason for d in dropped} == dict.fromkeys(
        ("a/gone.jpg", "a/more/2.png", "a/more/still.gif"), "not named in labels.csv"
    )


def test_photo_that_the_table_names_in_a_roundabout_way_is_not_counted_twice(tmp_path: Path) -> None:
    found = read_sources([table(tmp_path / "a", "path,label\n./1.png,mask\n")])
    assert (len(found.photos), found.dropped) == (1, [])


@pytest.mark.parametrize("text", ["", "file,class\n1.png,mask\n", "path;label\n1.png;mask\n"])
def test_table_without_its_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="columns path and label"):
        read_sources([table(tmp_path / "a", text)])


def test_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = table(tmp_path / "a", "path,label\n1.png,mask\n")
    (folder / "labels.csv").write_bytes(b"path,label\n\xff\xfe.png,mask\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_sources([folder])


def test_table_of_a_spreadsheet_with_its_mark_is_read(tmp_path: Path) -> None:
    folder = table(tmp_path / "a", "\ufeffpath,label\r\n1.png,mask\r\n")
    assert len(read_sources([folder]).photos) == 1


def test_table_without_any_known_label_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"it has veil.*--map"):
        read_sources([table(tmp_path / "a", "path,label\n1.png,veil\n")])


# Pascal VOC


@pytest.mark.parametrize(
    ("pictures", "notes"), [("", ""), ("images", "annotations"), ("JPEGImages", "Annotations"), ("images", "")]
)
def test_voc_is_found_beside_its_pictures_or_in_folders(tmp_path: Path, pictures: str, notes: str) -> None:
    draw(tmp_path / "v" / pictures / "s1.png", "mask", 1)
    (tmp_path / "v" / notes).mkdir(exist_ok=True)
    (tmp_path / "v" / notes / "s1.xml").write_text(voc_scene(BOX, "with_mask", "without_mask", filename="s1.png"))
    photos = read_sources([tmp_path / "v"]).photos
    assert [(p.label, p.box) for p in photos] == [("mask", BOX), ("no_mask", BOX)]
    assert photos[0].path.is_file()
    assert len({p.group for p in photos}) == 1


def test_bad_annotations_are_counted_and_end_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    for name in ("good", "broken", "empty", "flat", "lonely", "unread"):
        draw(folder / "images" / f"{name}.png", "mask", 1)
    (folder / "good.xml").write_text(voc_scene(BOX, "mask", filename="renamed-since.jpg"))
    (folder / "broken.xml").write_text("<annotation><object>")
    (folder / "empty.xml").write_text("<annotation/>")
    (folder / "flat.xml").write_text(voc_scene(BOX._replace(width=0), "mask"))
    (folder / "unread.xml").mkdir()  # any error of the system
    (folder / "gone.xml").symlink_to("nowhere.xml")
    draw(folder / "images" / "train" / "deep.png", "mask", 1)
    draw(folder / "images" / "still.gif", "mask", 1)
    found = read_sources([folder])
    assert [p.name for p in found.photos] == ["images/good.png"]
    assert {d.path: d.reason for d in found.dropped} == {
        "v/images/broken.png": "annotation cannot be read",
        "v/images/unread.png": "annotation cannot be read",
        "v/gone.xml": "annotation cannot be read",
        "v/images/empty.png": "annotation without an object",
        "v/images/flat.png": "bad box",
        "v/images/lonely.png": "no annotation",
        "v/images/train/deep.png": "no annotation",
        "v/images/still.gif": "no annotation",
    }


def voc(folder: Path, pictures: Sequence[str], **filenames: str) -> Found:
    """A source of pictures and of annotations, each with the ``<filename>`` that it states."""
    for name in pictures:
        draw(folder / name, "mask", 1)
    for name, filename in filenames.items():
        xml = folder / f"{name.replace('__', '/')}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(voc_scene(BOX, "mask", filename=filename))
    return read_sources([folder])


def test_annotation_whose_filename_is_another_picture_is_not_laid_over_it(tmp_path: Path) -> None:
    found = voc(tmp_path / "v", ["1.png", "2.png", "3.png"], **{"1": "1.png", "2": "3.png", "gone": "1.png"})
    assert [p.name for p in found.photos] == ["1.png"]
    assert {d.path: (d.reason, d.detail) for d in found.dropped} == {
        "v/2.png": ("annotation names another picture", "2.xml names 3.png"),
        "v/3.png": ("no annotation", ""),
        "v/gone.xml": ("annotation names another picture", "gone.xml names 1.png"),
    }


def test_filename_tells_the_picture_where_the_annotation_is_called_otherwise(tmp_path: Path) -> None:
    found = voc(tmp_path / "v", ["a.png", "b.jpg", "b.png"], **{"0001": "a.png", "b": "b.png"})
    assert [p.name for p in found.photos] == ["a.png", "b.png"]
    assert {d.path: d.reason for d in found.dropped} == {"v/b.jpg": "no annotation"}


def test_pictures_of_one_name_in_two_folders_keep_their_own_annotations(tmp_path: Path) -> None:
    names = ["images/train/1.png", "images/val/1.png"]
    found = voc(tmp_path / "v", names, annotations__train__1="1.png", annotations__val__1="1.png")
    assert [p.name for p in found.photos] == names
    assert found.dropped == []


def test_annotation_that_may_be_of_two_pictures_is_used_for_neither(tmp_path: Path) -> None:
    found = voc(tmp_path / "v", ["2.png", "train/1.png", "val/1.png"], **{"1": "1.png", "2": "2.png"})
    assert [p.name for p in found.photos] == ["2.png"]
    assert why(found.dropped, "v/1.xml") == "annotation may be of several pictures"
    assert why(found.dropped, "train/1.png") == why(found.dropped, "val/1.png") == "no annotation"


def test_voc_of_other_words_names_them(tmp_path: Path) -> None:
    draw(tmp_path / "v" / "1.png", "mask", 1)
    (tmp_path / "v" / "1.xml").write_text(voc_scene(BOX, "helmet"))
    with pytest.raises(DataError, match=r"helmet.*--map"):
        read_sources([tmp_path / "v"])


# people


def test_sources_that_number_the_same_people_share_groups(tmp_path: Path) -> None:
    folders = [photo_set(tmp_path / "street"), photo_set(tmp_path / "airport")]
    groups = {p.group for p in read_sources(folders, same_people=[("street", "airport")]).photos}
    assert groups == {f"street:p{i}" for i in range(6)}


@pytest.mark.parametrize("pairs", [[("a", "b"), ("b", "c")], [("a", "b"), ("c", "b")], [("a", "c"), ("b", "c")]])
def test_three_sources_of_the_same_people_may_be_named_in_any_pairs(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    folders = [photo_set(tmp_path / name, people=2) for name in ("a", "b", "c", "d")]
    groups = {p.group for p in read_sources(folders, same_people=pairs).photos}
    assert groups == {"a:p0", "a:p1", "d:p0", "d:p1"}


def test_people_of_one_burst_are_together_wherever_else_they_are(tmp_path: Path) -> None:
    draw(tmp_path / "door" / "mask" / "anna" / "2026-11-23T08-15-00.jpg", "mask", 1)
    draw(tmp_path / "door" / "mask" / "ben" / "2026-11-23T08-15-05.jpg", "mask", 2)
    for i, name in enumerate(("anna", "ben", "eve")):
        draw(tmp_path / "studio" / "no_mask" / name / "1.png", "no_mask", 10 + i)
    folders = [tmp_path / "door", tmp_path / "studio"]
    groups = {p.origin: p.group for p in read_sources(folders, same_people=[("door", "studio")]).photos}
    assert groups.pop("studio/no_mask/eve/1.png") == "door:eve"
    assert len(groups) == 4
    assert set(groups.values()) == {"door:anna"}


def test_mapped_word_that_no_folder_has_is_told(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", each=1, names=("mask", "unmasked"))
    naming = Naming(["unmaskd=no_mask"])
    read_sources([tmp_path / "a"], naming)
    with pytest.raises(UsageError, match="unmaskd: no folder or label has that name"):
        naming.refuse_unmet()
