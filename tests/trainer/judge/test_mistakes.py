from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import InputMissing, OutputError
from tests.trainer.drawn import row
from tests.trainer.judge.coloured import Face, coloured_set
from trainer.faces.manifest import read_manifest
from trainer.judge.mistakes import Mistake, mistakes, write_sheet
from trainer.judge.models import Judged, open_model

ROWS = [row("mask"), row("no_mask"), row("incorrect"), row("mask"), row("no_mask")]


def test_surest_mistakes_come_first_whichever_way_they_go() -> None:
    found = mistakes(np.array([0.3, 0.99, 0.8, 0.9, 0.1]), ROWS, 0.5)
    assert [(m.at, m.called) for m in found] == [(1, "mask"), (2, "mask"), (0, "no_mask")]


def test_badly_worn_mask_called_incorrect_or_bare_is_no_mistake() -> None:
    assert mistakes(np.array([0.9, 0.1, 0.2, 0.9, 0.1]), ROWS, 0.5) == []


def test_threshold_of_the_model_decides() -> None:
    assert [m.at for m in mistakes(np.array([0.6, 0.1, 0.1, 0.9, 0.1]), ROWS, 0.7)] == [0]


@pytest.fixture
def drawn(tmp_path: Path, bundle: Path) -> tuple[list[Mistake], Path, Judged]:
    folder = coloured_set(tmp_path / "faces", [Face("mask", "no_mask")] * 11)
    found = mistakes(np.full(11, 0.1), read_manifest(folder), 0.5)
    return found, folder, open_model(bundle)


@pytest.mark.parametrize("name", ["worst.jpg", "worst.png"])
def test_sheet_has_a_place_for_every_mistake(
    name: str, tmp_path: Path, drawn: tuple[list[Mistake], Path, Judged]
) -> None:
    found, folder, model = drawn
    write_sheet(tmp_path / name, found, folder, model)
    with Image.open(tmp_path / name) as picture:
        colours = picture.convert("RGB").resize((picture.width // 8, picture.height // 8))
        reds = sum(r > 200 and max(g, b) < 60 for r, g, b in np.asarray(colours).reshape(-1, 3).tolist())
        assert reds > 0.3 * colours.width * colours.height  # eleven red crops in two rows of eight
        assert picture.width > picture.height
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [name]


@pytest.mark.parametrize(("name", "told"), [("worst.gif", "name it .jpg"), ("nowhere/worst.jpg", "make it first")])
def test_place_for_the_sheet_that_cannot_be_is_refused(
    name: str, told: str, tmp_path: Path, drawn: tuple[list[Mistake], Path, Judged]
) -> None:
    found, folder, model = drawn
    with pytest.raises(OutputError, match=told):
        write_sheet(tmp_path / name, found, folder, model)


def test_set_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        read_manifest(tmp_path / "gone")
