"""Still images: what is said of each, what is drawn, and what does not stop the others."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import still
from edge.classify import Classifier
from edge.errors import DiskError, InputMissing, OutputError, Refused, UsageError
from edge.records import Box, Face, ImageU8, Reading
from edge.sources.images import read_image
from edge.still import Annotated, StillFace, StillJudge, StillRun, as_json, as_text, dump, expand, label_face
from tests.edge.bundles import BLUE_BGR, DATA, GREEN_BGR, RED_BGR, plain, png, tiny

FACE_PX = 40
PLACES = {"left": GREEN_BGR, "middle": RED_BGR, "right": BLUE_BGR}


class Squares:
    """A detector that finds the three faces of ``scene``, and none in a flat picture."""

    name = "squares"
    sure_score = 0.5

    def find(self, image_bgr: ImageU8) -> list[Face]:
        if (image_bgr == image_bgr[0, 0]).all():
            return []
        sizes = (FACE_PX, FACE_PX - 10, FACE_PX - 20)
        return [Face(Box(20.4 + 100 * i, 29.6, size, size), 0.9 - i / 10, ()) for i, size in enumerate(sizes)]


def scene() -> ImageU8:
    frame = plain((127, 127, 127), 100, 300)
    for i, colour in enumerate(PLACES.values()):
        frame[10:90, 100 * i + 5 : 100 * i + 80] = colour
    return frame


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier(tiny(tmp_path / "bundle"))


@pytest.fixture
def judge(classifier: Classifier) -> StillJudge:
    return StillJudge(Squares(), classifier, min_face_px=20)


def save(path: Path, image: ImageU8) -> str:
    path.write_bytes(png(image))
    return str(path)


def run(judge: StillJudge, annotate: Path | None = None, *images: str) -> StillRun:
    return StillRun(judge, "tiny@0123456789ab", "squares", Annotated(annotate, images) if annotate else None)


def test_faces_are_labelled_and_come_from_large_to_small(judge: StillJudge) -> None:
    found = judge.judge(scene())
    assert [(f.label, f.incorrect) for f in found] == [("mask", False), ("no_mask", False), ("no_mask", True)]
    assert [f.box.width for f in found] == [40, 30, 20]


def test_a_face_smaller_than_asked_for_does_not_count(classifier: Classifier) -> None:
    assert len(StillJudge(Squares(), classifier, min_face_px=30).judge(scene())) == 2


@pytest.mark.parametrize(
    ("p_mask", "p_incorrect", "label", "incorrect"),
    [(0.6, 0.9, "mask", False), (0.59, 0.9, "no_mask", True), (0.1, 0.5, "no_mask", False), (1.0, 0.0, "mask", False)],
)
def test_a_label_is_mask_from_the_threshold_on(p_mask: float, p_incorrect: float, label: str, incorrect: bool) -> None:
    found = label_face(Box(0, 0, 9, 9), 0.9, Reading(p_mask, p_incorrect), threshold=0.6)
    assert (found.label, found.incorrect) == (label, incorrect)


def test_the_object_of_a_picture_is_the_contract_s(judge: StillJudge, tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", scene())
    said = run(judge).run(image)
    assert list(said) == ["image", "width", "height", "model", "detector", "faces"]
    assert (said["image"], said["width"], said["height"]) == (image, 300, 100)
    assert (said["model"], said["detector"]) == ("tiny@0123456789ab", "squares")
    assert said["faces"][0] == {
        "box": [20, 30, 40, 40],
        "score": 0.9,
        "label": "mask",
        "p_mask": pytest.approx(0.995, abs=0.01),
    }
    assert said["faces"][2]["worn"] == "incorrect"


def test_an_object_is_one_line_of_json_with_the_name_as_it_is(judge: StillJudge, tmp_path: Path) -> None:
    said = dump(run(judge).run(save(tmp_path / "Tür 1.png", scene())))
    assert "\n" not in said
    assert "Tür 1.png" in said
    assert json.loads(said)["faces"]


def test_a_picture_without_faces_says_so(judge: StillJudge, tmp_path: Path) -> None:
    said = run(judge).run(save(tmp_path / "a.png", plain(GREEN_BGR, 60, 60)))
    assert said["faces"] == []
    assert as_text(said).endswith("a.png: no face")


def test_exif_turns_the_picture_before_it_is_measured(judge: StillJudge) -> None:
    said = run(judge).run(str(DATA / "portrait_exif6.jpg"))
    height, width = read_image(DATA / "portrait_exif6.jpg").shape[:2]
    assert (said["width"], said["height"]) == (width, height)


def test_the_text_for_people_has_a_line_for_each_face() -> None:
    faces = [as_json(StillFace(Box(1, 2, 30, 40), 0.9, "mask", 0.98765, False))]
    faces.append(as_json(StillFace(Box(5, 6, 20, 20), 0.8, "no_mask", 0.01, True)))
    assert as_text({"image": "a.jpg", "faces": faces}).split("\n") == [
        "a.jpg: 2 faces",
        "  mask     p_mask 0.988  30x40 px at 1,2",
        "  no_mask  p_mask 0.010  20x20 px at 5,6 (a mask is there, nose or mouth bare)",
    ]


# --- what cannot be read ---


def spoilt(folder: Path, kind: str) -> str:
    path = folder / f"{kind}.png"
    if kind != "missing":
        path.write_bytes({"cut": png(scene())[:200], "text": b"no picture", "empty": b""}[kind])
    return str(path)


@pytest.mark.parametrize(
    ("kinds", "code"),
    [((), 0), (("cut",), 65), (("text",), 65), (("empty",), 65), (("missing",), 66), (("missing", "cut"), 65)],
)
def test_a_bad_picture_does_not_stop_the_others_but_is_the_exit_code(
    judge: StillJudge, tmp_path: Path, kinds: Sequence[str], code: int
) -> None:
    still_run, good = run(judge), save(tmp_path / "good.png", scene())
    for kind in kinds:
        said = still_run.run(spoilt(tmp_path, kind))
        assert list(said) == ["image", "error"]
        assert as_text(said) == f"edge: {said['image']}: {said['error']}"
    assert len(still_run.run(good)["faces"]) == 3
    assert still_run.exit_code == code


def test_a_picture_that_this_user_may_not_read_does_not_stop_the_others(
    judge: StillJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> ImageU8:
        if path.name == "secret.png":
            raise Refused("may not be read by this user")
        return read_image(path)

    monkeypatch.setattr(still, "read_image", refuse)
    still_run = run(judge)
    assert "may not be read" in still_run.run("secret.png")["error"]
    assert still_run.run(save(tmp_path / "good.png", scene()))["faces"]
    assert still_run.exit_code == 77


# --- folders ---


def test_a_folder_stands_for_its_pictures_in_order_and_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day").mkdir()
    for name in ("2.png", "10.PNG", "1.jpg", "notes.txt", ".hidden.png"):
        (Path("day") / name).touch()
    assert list(expand(["./day", "x.png", "day/"])) == [
        *("./day/1.jpg", "./day/2.png", "./day/10.PNG"),
        "x.png",
        *("day/1.jpg", "day/2.png", "day/10.PNG"),
    ]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="holds no images: name one that does"):
        list(expand([str(tmp_path)]))


# --- annotated copies ---


def test_an_annotated_copy_shows_the_faces_and_leaves_the_picture(judge: StillJudge, tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", scene())
    run(judge, tmp_path / "out" / "deep").run(image)
    drawn = read_image(tmp_path / "out" / "deep" / "a.jpg")
    assert drawn.shape == scene().shape
    assert np.abs(drawn.astype(int) - scene()).max() > 100
    assert np.array_equal(read_image(Path(image)), scene())


def test_pictures_of_one_name_from_two_folders_are_both_kept(judge: StillJudge, tmp_path: Path) -> None:
    still_run = run(judge, tmp_path / "out")
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        still_run.run(save(tmp_path / folder / "door.png", scene()))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["door-2.jpg", "door-3.jpg", "door.jpg"]


def test_a_picture_in_the_folder_of_copies_is_told_before_the_first_is_judged(tmp_path: Path) -> None:
    """`edge classify B A --annotate A` once wrote the annotation of B/x.jpg over A/x.jpg."""
    (tmp_path / "a").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "out")
    inputs = [str(tmp_path / "a" / "x.png"), save(tmp_path / "out" / "x.png", scene())]
    for folder in ("out", "linked", "x/../out"):
        with pytest.raises(UsageError, match=r"--annotate .* holds .*out/x.png itself.*: name another folder"):
            Annotated(tmp_path / folder, inputs)


def test_a_link_to_a_picture_in_the_folder_of_copies_or_out_of_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    picture = save(tmp_path / "out" / "x.png", scene())
    (tmp_path / "into.png").symlink_to(picture)
    (tmp_path / "out" / "from.png").symlink_to(save(tmp_path / "y.png", scene()))
    for link in ("into.png", "out/from.png"):
        with pytest.raises(UsageError, match="which must stay"):
            Annotated(tmp_path / "out", [str(tmp_path / link)])


@pytest.mark.parametrize("taken", ["file", "link", "dangling link", "folder"])
def test_what_is_in_the_folder_of_copies_is_neither_replaced_nor_written_through(
    judge: StillJudge, tmp_path: Path, taken: str
) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious"
    out.mkdir()
    if taken == "file":
        (out / "door.jpg").write_bytes(b"precious")
    elif taken == "folder":
        (out / "door.jpg").mkdir()
    else:
        (out / "door.jpg").symlink_to(precious)
    if taken == "link":
        precious.write_bytes(b"precious")
    image = save(tmp_path / "door.png", scene())
    run(judge, out, image).run(image)
    assert sorted(p.name for p in out.iterdir()) == ["door-2.jpg", "door.jpg"]
    assert read_image(out / "door-2.jpg").shape == scene().shape
    assert precious.exists() == (taken == "link")
    assert (
        (out / "door.jpg").is_dir() or not (out / "door.jpg").exists() or b"precious" in (out / "door.jpg").read_bytes()
    )


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_judged(judge: StillJudge, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be made: .*: name another with --annotate"):
        run(judge, tmp_path / "file" / "out")


def test_a_full_disk_leaves_no_half_of_a_copy(judge: StillJudge, tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", scene())
    still_run = run(judge, tmp_path / "out", image)
    still_run.run(image)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes a file may have, as if the disk ended there
    try:
        with pytest.raises(DiskError, match=r"picture a.jpg cannot be written into .*out: File too large"):
            still_run.run(image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.jpg"]


def test_a_folder_of_copies_that_went_away_is_told(judge: StillJudge, tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", scene())
    still_run = run(judge, tmp_path / "out", image)
    (tmp_path / "out").rmdir()
    with pytest.raises(OutputError, match=r"cannot be written into .*out: No such file"):
        still_run.run(image)


def test_a_picture_too_long_for_a_jpeg_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"long.png is too long for a JPEG"):
        Annotated(tmp_path / "out", []).save("long.png", plain(GREEN_BGR, 2, 66_000), [])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("box", [Box(-20, -20, 50, 50), Box(90, 60, 300, 300), Box(0, 0, 1, 1), Box(0, 0, 100, 80)])
@pytest.mark.parametrize("size", [(80, 100), (9, 9), (2000, 1500)])
def test_any_box_can_be_drawn(tmp_path: Path, box: Box, size: tuple[int, int]) -> None:
    found: Any = StillFace(box, 0.9, "no_mask", 0.01, True)
    path = Annotated(tmp_path, []).save("elsewhere/a.png", plain((127, 127, 127), *size), [found])
    assert read_image(path).shape[:2] == size


def test_a_name_that_is_not_utf_8_is_json_all_the_same(judge: StillJudge, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png")
    save(Path(name), scene())
    line = dump(run(judge).run(name))
    assert os.fsencode(json.loads(line.encode())["image"]) == os.fsencode(name)
