"""Sources left out in turn: runs of one folder are all of one set and of one choice of options."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.leave_one_source_out import main, refuse_others, thin_set
from tests.trainer.learn.prepared import prepared_set

OPTIONS = {"faces": "5e", "per class": 80}


def finished(out: Path) -> Path:
    (out / "runs" / "mobilenet_v2-without-street").mkdir(parents=True)
    return out


def test_second_use_with_the_same_options_goes_on(tmp_path: Path) -> None:
    refuse_others(tmp_path, OPTIONS)
    refuse_others(finished(tmp_path), OPTIONS)


@pytest.mark.parametrize("other", [{"faces": "5f", "per class": 80}, {"faces": "5e", "per class": 40}])
def test_finished_runs_of_others_are_not_mixed_with_new_ones(tmp_path: Path, other: dict[str, object]) -> None:
    refuse_others(tmp_path, OPTIONS)
    finished(tmp_path)
    for _ in range(2):
        with pytest.raises(SystemExit, match="choose another --out"):
            refuse_others(tmp_path, other)


def test_finished_runs_of_nobody_knows_what_are_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="choose another --out"):
        refuse_others(finished(tmp_path), OPTIONS)


def test_folder_without_a_finished_run_may_be_used_for_something_else(tmp_path: Path) -> None:
    refuse_others(tmp_path, OPTIONS)
    other = {"faces": "5f", "per class": 80}
    refuse_others(tmp_path, other)
    refuse_others(finished(tmp_path), other)


@pytest.mark.parametrize("more", [["--per-class", "40"], ["--input-px", "160"], ["--weights", "other.weights.h5"]])
def test_the_command_refuses_other_options_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    faces, out = prepared_set(tmp_path / "faces"), tmp_path / "out"  # too few of each source to leave any out

    def ends(*options: str) -> object:
        command = ["leave_one_source_out.py", str(faces), "--out", str(out), "--weights", "my.weights.h5", *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    ends()
    finished(out)
    assert "choose another --out" not in str(ends())
    assert "choose another --out" in str(ends(*more))


def test_thinned_set_shows_the_pictures_of_the_set_it_is_made_of(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for faces in (old, new):
        prepared_set(faces)
        for source in "ab":
            (faces / source).mkdir()
            (faces / source / "whose.txt").write_text(faces.name)
    for faces in (old, new):
        few = thin_set(faces, 80, "b", tmp_path / "few")
        assert {(few / source / "whose.txt").read_text() for source in "ab"} == {faces.name}
