"""What is written is there whole or not at all, and what went wrong is one line with its code."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainer.__main__ as command_line
from edge.errors import DiskError
from trainer.ship.bundle import swap
from trainer.whole import replace_file


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("ha")
        raise OSError(28, "No space left on device")

    (tmp_path / "manifest.csv").write_text("whole")
    with pytest.raises(DiskError, match="No space left"):
        replace_file(tmp_path / "manifest.csv", half)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.csv"]
    assert (tmp_path / "manifest.csv").read_text() == "whole"


def test_a_bundle_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "bundle.json").write_text("old")
    with pytest.raises(OSError, match="No such file"):
        swap(tmp_path / "not-there", out, tmp_path / "old")
    assert (out / "bundle.json").read_text() == "old"


@pytest.mark.parametrize(
    ("raised", "code"), [(OSError(28, "No space left on device", "faces/manifest.csv"), 74), (RuntimeError("ours"), 70)]
)
def test_faults_of_the_disk_and_of_ours_have_their_codes(
    raised: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_argv: object) -> int:
        raise raised

    monkeypatch.setattr(command_line, "_run", run)
    assert command_line.main([]) == code
