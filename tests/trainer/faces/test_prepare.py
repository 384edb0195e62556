"""The whole of ``trainer prepare`` on drawn people: nothing lost, nothing split, nothing half-written."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trainer.commands
from edge.detect import Detector
from edge.errors import DataError, OutputError, UsageError
from edge.records import Face, ImageU8
from tests.trainer.drawn import DrawnFaceFinder, photo_set
from tests.trainer.faces.folders import class_folders, draw, made, why
from trainer.__main__ import main
from trainer.faces.manifest import read_manifest, straddling_groups
from trainer.faces.photos import DROPPED
from trainer.faces.prepare import few_faces, new_folder


@pytest.fixture(autouse=True)
def drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.commands.prepare, "open_detector", lambda _name, _file: DrawnFaceFinder())


def dropped_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / DROPPED).open(encoding="utf-8", errors="surrogateescape") as f:
        return list(csv.DictReader(f))


def test_every_labelled_face_is_kept_with_its_label(tmp_path: Path) -> None:
    made(photo_set(tmp_path / "photos"), tmp_path / "set")
    rows = read_manifest(tmp_path / "set")
    assert sorted({r.label for r in rows}) == ["incorrect", "mask", "no_mask"]
    assert len(rows) == 18
    assert {r.found_by for r in rows} == {"detector"}


def test_no_group_straddles_in_a_prepared_set(tmp_path: Path) -> None:
    made(photo_set(tmp_path / "photos"), tmp_path / "set")
    rows = read_manifest(tmp_path / "set")
    assert straddling_groups(rows) == []
    assert {r.split for r in rows} == {"train", "held_out"}


def test_every_file_is_in_the_manifest_or_among_the_dropped(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", each=5)
    draw(folder / "mask" / "a.b.c.png", "mask", 50)
    draw(folder / "mask" / 'my, "photo"\n2.png', "mask", 51)
    draw(folder / "mask" / os.fsdecode(b"caf\xe9.png"), "mask", 52)
    draw(folder / "no_mask" / "日本 größe.png", "no_mask", 53)
    draw(folder / "other" / "x.png", "mask", 54)
    (folder / "no_mask" / "notes.txt").write_text("who is who")
    (folder / "no_mask" / os.fsdecode(b"br\xfcck.png")).write_bytes(b"no picture")
    (folder / "mask" / "0.png").write_bytes((folder / "mask" / "1.png").read_bytes())
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 0
    kept = {r.origin for r in read_manifest(tmp_path / "set")}
    dropped = {r["path"] for r in dropped_rows(tmp_path / "set")}
    files = {f"photos/{p.relative_to(folder).as_posix()}" for p in folder.rglob("*") if p.is_file()}
    assert kept | dropped == files
    assert not kept & dropped
    assert {Path(path).name for path in dropped} == {"x.png", "notes.txt", os.fsdecode(b"br\xfcck.png"), "1.png"}


def test_dropped_faces_are_counted_by_reason_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "photos")
    (folder / "mask" / "0.png").write_bytes(b"not a picture")
    (folder / "mask" / "1.png").write_bytes(b"")
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 0
    assert "not an image" in capsys.readouterr().err
    assert [(r["path"], r["label"], r["reason"]) for r in dropped_rows(tmp_path / "set")] == [
        ("photos/mask/0.png", "mask", "not an image"),
        ("photos/mask/1.png", "mask", "not an image"),
    ]


def test_pictures_of_dropped_copies_do_not_stay_in_the_set(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    draw(folder / "mask" / "copy.png", "mask", 0)
    done = made(folder, tmp_path / "set")
    assert {p.relative_to(tmp_path / "set").as_posix() for p in (tmp_path / "set" / "photos").iterdir()} == {
        r.path for r in done.rows
    }


def test_two_runs_give_the_same_manifest(tmp_path: Path) -> None:
    folder = photo_set(tmp_path / "photos")
    first, again = made(folder, tmp_path / "a"), made(folder, tmp_path / "b")
    assert first.rows == again.rows
    others = [made(folder, tmp_path / f"{seed}", seed=seed).rows for seed in (2, 3, 4)]
    assert any(rows != first.rows for rows in others)


def test_manifest_tells_what_kind_of_file_a_face_came_from(tmp_path: Path) -> None:
    made(class_folders(tmp_path / "photos"), tmp_path / "set")
    row = read_manifest(tmp_path / "set")[0]
    assert (row.file_type, row.mode, row.jpeg_quality, row.photo_width) == ("png", "RGB", 0, 200)
    assert row.sharpness > 0


# refused


def test_one_class_only_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "photos", names=("mask",))
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 65
    said = capsys.readouterr().err
    assert "no face labelled no_mask" in said
    assert "--map" in said
    assert "--share 0" in said
    assert not (tmp_path / "set").exists()


def test_one_class_makes_a_set_to_judge_a_model_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "photos", names=("no_mask",))
    out = tmp_path / "set"
    assert main(["prepare", str(folder), "--share", "0", "--out", str(out)]) == 0
    assert {(r.label, r.split) for r in read_manifest(out)} == {("no_mask", "train")}
    said = capsys.readouterr().err
    assert "warning" not in said
    assert f"trainer evaluate MODEL --data {out} --split all" in said


def test_set_to_judge_by_needs_a_face(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", names=("no_mask",))
    for path in (folder / "no_mask").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"no face .*4 not an image"):
        made(folder, tmp_path / "set", share=0.0)


def test_class_of_which_no_face_is_left_is_refused_with_the_reasons(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    for path in (folder / "mask").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"no face labelled mask.*4 not an image"):
        made(folder, tmp_path / "set")


@pytest.mark.parametrize("option", ["--held-out", "--same-people"])
def test_source_that_is_not_there_is_refused_by_name(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "photos")
    value = "fotos" if option == "--held-out" else "photos=fotos"
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set"), option, value]) == UsageError.exit_code
    assert f"{option} fotos: there is no such source, only photos" in capsys.readouterr().err


def test_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"), new_folder(tmp_path):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


# warned of


def test_ten_photos_make_a_set_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "photos", each=5)
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 0
    said = capsys.readouterr().err
    assert "warning: only 1 of 5 faces of mask are held out" in said
    assert "add photos" in said


def test_enough_held_out_faces_bring_no_warning(tmp_path: Path) -> None:
    rows = made(class_folders(tmp_path / "photos"), tmp_path / "set", share=0.5).rows
    assert few_faces([r for r in rows for _ in range(20)]) == []


# ended


SMALL_DISK = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))  # a file can get no larger, as on a full disk
import trainer.commands
from tests.trainer.drawn import DrawnFaceFinder
trainer.commands.prepare.open_detector = lambda *_: DrawnFaceFinder()
from trainer.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    command = [sys.executable, "-c", SMALL_DISK, "prepare", str(folder), "--out", str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 74, done.stderr
    assert done.stderr.startswith("trainer: cannot write ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "set").exists()


class InterruptingFinder(DrawnFaceFinder):
    """Ctrl-C at the third picture."""

    def __init__(self) -> None:
        self._seen = 0

    def find(self, image_bgr: ImageU8) -> list[Face]:
        self._seen += 1
        if self._seen == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return super().find(image_bgr)


def test_ctrl_c_leaves_no_folder_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupting(_name: str, _file: Path | None) -> Detector:
        return InterruptingFinder()

    monkeypatch.setattr(trainer.commands.prepare, "open_detector", interrupting)
    folder = class_folders(tmp_path / "photos")
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 130
    assert not (tmp_path / "set").exists()


def test_folder_that_was_there_stays_empty_where_it_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    folder = class_folders(tmp_path / "photos", names=("mask",))
    assert main(["prepare", str(folder), "--out", str(tmp_path / "set")]) == 65
    assert list((tmp_path / "set").iterdir()) == []


def test_reason_of_a_bad_photo_is_found_by_its_name(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos")
    (folder / "no_mask" / "2.png").write_bytes(b"")
    assert why(made(folder, tmp_path / "set").dropped, "no_mask/2.png") == "not an image"
