"""The mean of runs: a network between theirs, written as a run that the other commands take."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError
from tests.trainer.learn.prepared import prepared_set
from trainer.faces.manifest import manifest_sha256
from trainer.learn import fit, kept, network
from trainer.learn.mean import mean_of_runs
from trainer.learn.recipes import PLANS
from trainer.learn.runs import BEST, WHOLE, EpochFigures, Run, Settings, read_run, write_run


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    faces = prepared_set(tmp_path_factory.mktemp("faces") / "set")
    return Settings(str(faces), None, unseen=("none",), input_px=32, alpha=0.35)


def run_of(folder: Path, settings: Settings, shift: float) -> Path:
    """A run as training leaves it, its head's bias moved by ``shift``; its norms' statistics are its own."""
    model = PLANS[settings.recipe].bare(settings)
    model.layers[-1].bias.assign_add([shift, 0.0, 0.0])
    crops = np.random.default_rng(round(shift)).integers(0, 255, (8, 32, 32, 3), np.uint8)
    network.restate_norms(model, [network.scale(crops)])
    folder.mkdir()
    network.save_weights(model, folder / BEST)
    figures = EpochFigures(WHOLE, 1, 0.5, 0.8, 0.4, 0.9, 0.9, 0.9, 0.1, 1e-4, 60.0)
    sha256 = manifest_sha256(Path(settings.data))
    write_run(folder, Run(settings, figures=(figures,), chosen=0, manifest_sha256=sha256))
    return folder


@pytest.mark.slow
def test_the_mean_of_two_runs_answers_between_them(settings: Settings, tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", settings, 0.0)
    other = run_of(tmp_path / "other", replace(settings, start_from=str(one)), 4.0)
    run = mean_of_runs([one, other], tmp_path / "mean")
    crops = np.random.default_rng(9).integers(0, 255, (5, 32, 32, 3), np.uint8)
    answers = [kept.open_run(folder).logits(crops) for folder in (one, tmp_path / "mean", other)]
    assert answers[1] == pytest.approx((answers[0] + answers[2]) / 2, abs=1e-4)
    assert read_run(tmp_path / "mean").mean_of == (str(one), str(other))
    assert run.best
    assert 0 <= run.best.balanced <= 1


def test_a_mean_has_no_training_to_go_on_with(settings: Settings, tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", settings, 0.0)
    other = run_of(tmp_path / "other", replace(settings, start_from=str(one)), 4.0)
    run = mean_of_runs([one, other], tmp_path / "mean")
    with pytest.raises(DataError, match=r"is a mean of others .*start a new one with --start-from"):
        fit.train(run.settings, tmp_path / "mean", resume=True)


def test_runs_of_two_beginnings_are_refused(settings: Settings, tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "one", settings, 0.0), run_of(tmp_path / "other", settings, 4.0)
    with pytest.raises(DataError, match="nothing in common"):
        mean_of_runs([one, other], tmp_path / "mean")


@pytest.mark.parametrize(("change", "word"), [({"margin": 0.1}, "margin"), ({"leave_out": ("b",)}, "leave_out")])
def test_runs_that_do_not_belong_together_are_refused(
    settings: Settings, tmp_path: Path, change: dict[str, object], word: str
) -> None:
    one = run_of(tmp_path / "one", settings, 0.0)
    other = tmp_path / "other"
    shutil.copytree(one, other)
    write_run(other, replace(read_run(one), settings=replace(settings, **change)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=word):
        mean_of_runs([one, other], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
