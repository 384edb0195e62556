import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import DataError, OutputError
from tests.trainer.drawn import row
from trainer.faces.manifest import manifest_sha256, write_manifest
from trainer.learn.runs import (
    RUN,
    Division,
    EpochFigures,
    Run,
    Settings,
    begin,
    progress_text,
    read_run,
    refuse_other_set,
    refuse_seen,
    refuse_taken,
    with_progress,
    write_run,
)


def epoch(phase: str, number: int, balanced: float) -> EpochFigures:
    return EpochFigures(phase, number, 0.5, 0.9, 0.3, balanced, balanced, balanced, math.nan, rate=1e-4, seconds=1.0)


def trained(*scores: float, selecting: bool = True) -> Run:
    """After a head of two epochs and one epoch per score."""
    heads = (epoch("head", 1, 0.5), epoch("head", 2, 0.8))
    run = Run(Settings("faces", None), Division(selecting=selecting), heads, chosen=1)
    for number, score in enumerate(scores, 1):
        run = run.after(epoch("whole", number, score))
    return run


def test_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    run = replace(trained(0.9), settings=Settings("faces", None, unseen=("a", "b"))).spent("head", 2.04)
    write_run(tmp_path, run)
    assert str(read_run(tmp_path)) == str(run)  # NaN equals nothing, itself included


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    write_run(tmp_path, trained(0.9))
    held = json.loads((tmp_path / RUN).read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert held["figures"][0]["incorrect_called_mask"] is None


def test_run_folder_of_another_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text(json.dumps({"version": 1, "labels": [], "settings": {}, "figures": [], "earlier": []}))
    with pytest.raises(DataError, match=r"version 1, this trainer reads 2: train again"):
        read_run(tmp_path)


def test_best_epoch_is_kept_where_a_score_selects() -> None:
    best = trained(0.9, 0.95, 0.93).best
    assert best is not None
    assert (best.phase, best.epoch) == ("whole", 2)


def test_head_is_kept_where_no_later_epoch_is_better() -> None:
    best = trained(0.7, 0.75).best
    assert best is not None
    assert best.phase == "head"


def test_last_epoch_is_kept_where_nothing_selects() -> None:
    best = trained(0.9, 0.95, 0.93, selecting=False).best
    assert best is not None
    assert best.epoch == 3


def test_a_checkpoint_tells_how_far_its_run_came() -> None:
    far, record = trained(0.9, 0.92, 0.9).spent("head", 2.0), trained(0.9)
    assert str(with_progress(record, progress_text(far))) == str(far)


def test_run_of_before_the_manifest_was_noted_still_reads(tmp_path: Path) -> None:
    write_run(tmp_path, trained(0.9))
    held = json.loads((tmp_path / RUN).read_text())
    del held["manifest_sha256"]
    (tmp_path / RUN).write_text(json.dumps(held))
    assert read_run(tmp_path).manifest_sha256 == ""
    refuse_other_set(read_run(tmp_path), tmp_path)


def test_set_that_was_prepared_anew_is_not_the_runs(tmp_path: Path) -> None:
    write_manifest(tmp_path, [row(split="train")])
    run = Run(Settings("faces", None), manifest_sha256=manifest_sha256(tmp_path))
    refuse_other_set(run, tmp_path)
    write_manifest(tmp_path, [row(split="held_out")])
    with pytest.raises(DataError, match=r"prepared anew.*train again"):
        refuse_other_set(run, tmp_path)


def test_what_the_earlier_run_trained_on_cannot_be_unseen_to_one_that_starts_from_it(tmp_path: Path) -> None:
    parent = Run(Settings("faces", None), Division(unseen=("b",), leave_out=("c",)))
    refuse_seen(parent, Division(unseen=("c",), leave_out=("b",)), tmp_path)
    refuse_seen(parent, Division(), tmp_path)
    with pytest.raises(DataError, match=r"was trained on a, .*only b, c can be kept apart"):
        refuse_seen(parent, Division(unseen=("a",)), tmp_path)
    with pytest.raises(DataError, match="was trained on a"):
        refuse_seen(parent, Division(leave_out=("a", "b")), tmp_path)


def test_run_that_starts_from_another_tells_what_that_one_began_with(tmp_path: Path) -> None:
    write_run(tmp_path, replace(trained(0.9, 0.92), settings=Settings("faces", None), earlier=(4,)))
    run = begin(Settings("faces", "imagenet", start_from=str(tmp_path)))
    assert run.settings.weights is None
    assert run.earlier == (4, 2)


def test_run_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="no folder that can be written to"):
        refuse_taken(tmp_path / "file" / "run")
    with pytest.raises(OutputError, match="is not empty: go on with --resume"):
        refuse_taken(tmp_path)
    refuse_taken(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()
