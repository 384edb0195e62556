"""The picture sheet that a human looks at."""

from collections import Counter
from pathlib import Path

from PIL import Image

from tests.trainer.drawn import row
from tests.trainer.faces.folders import class_folders, made
from trainer.faces.sheet import ACROSS, FACE_PX, GAP_PX, draw_evenly


def test_every_source_is_shown_alike_while_it_has_faces() -> None:
    rows = [row(source="web", path=f"{i}") for i in range(500)]
    rows += [row(source="door", path=f"{i}") for i in range(10)]
    shown = Counter(r.source for r in draw_evenly(rows, 60, seed=1))
    assert shown == {"door": 10, "web": 50}


def test_each_class_has_its_sheet(tmp_path: Path) -> None:
    made(class_folders(tmp_path / "photos"), tmp_path / "set")
    sheets = sorted(p.name for p in (tmp_path / "set").glob("sheet-*"))
    assert sheets == ["sheet-mask.jpg", "sheet-no_mask.jpg"]
    sheet = Image.open(tmp_path / "set" / "sheet-mask.jpg")
    assert sheet.width == ACROSS * (FACE_PX + GAP_PX) + GAP_PX
    first = sheet.crop((GAP_PX + 20, 60, GAP_PX + 60, 90))
    assert len(first.getcolors(100_000) or ()) > 50  # a face, not paper
