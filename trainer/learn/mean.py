"""Several runs made into one: the mean of their weights (Wortsman et al., "Model soups", ICML 2022).

Runs that started from one another lie in one valley of the loss, where the mean of their weights does better than each
on sources it has never seen, and rounds better to integers, at no cost on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from trainer.learn import network
from trainer.learn.division import divided
from trainer.learn.judging import judged_figures
from trainer.learn.kept import answering, crops_of
from trainer.learn.recipes import PLANS
from trainer.learn.runs import BEST, WHOLE, EpochFigures, Run, make_folder, read_run, refuse_other_set, write_run

ALIKE = ("data", "recipe", "input_px", "alpha", "margin", "unseen", "leave_out")
Weights = list[npt.NDArray[np.float64]]


def mean_of_runs(folders: Sequence[Path], out: Path) -> Run:
    """Write a run whose weights are the mean of the kept ones of ``folders``, judged on the faces that judged them.

    It has the last one's settings. Raises DataError for runs that do not belong together.
    """
    runs = [read_run(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        _refuse_unlike(runs[0], run, folders[0], folder)
    settings, plan = runs[-1].settings, PLANS[runs[-1].settings.recipe]
    model = plan.bare(settings)
    gathered = [_weights(model, folder, folders[0]) for folder in folders]
    model.set_weights([np.mean(same, axis=0).astype(np.float32) for same in zip(*gathered, strict=True)])
    data = Path(settings.data)
    refuse_other_set(runs[-1], data)
    judging = divided(data, settings.unseen, settings.leave_out, may_select=plan.selects).judging
    logits = answering(plan.judged(model))(crops_of(settings, data, judging))
    figures = EpochFigures(
        WHOLE, 1, math.nan, math.nan, **asdict(judged_figures(logits, judging)), rate=0.0, seconds=0.0
    )
    earlier = (*runs[-1].earlier, len(runs[-1].whole))
    run = replace(runs[-1], figures=(figures,), chosen=0, timings={}, earlier=earlier, mean_of=_names(folders))
    make_folder(out)
    network.save_weights(model, out / BEST)
    write_run(out, run)
    return run


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(folder.absolute()) for folder in folders)


def _refuse_unlike(first: Run, run: Run, first_folder: Path, folder: Path) -> None:
    wrong = [name for name in ALIKE if getattr(run.settings, name) != getattr(first.settings, name)]
    wrong += ["the prepared set"] if run.manifest_sha256 != first.manifest_sha256 else []
    if wrong:
        raise DataError(f"{folder} differs from {first_folder} in {', '.join(wrong)}: name runs that started alike")
    if not _kin(first, run, first_folder, folder):
        raise DataError(
            f"{folder} and {first_folder} did not start from one another or from one run: nothing in common"
        )
    if not run.figures:
        raise DataError(f"{folder} has no epoch yet: let it train first")


def _kin(first: Run, run: Run, first_folder: Path, folder: Path) -> bool:
    """Whether both lie in one valley: the same run, one begun from the other, or both from a third."""
    origins = [_origin(first, first_folder), _origin(run, folder)]
    return bool(set(origins[0]) & set(origins[1]))


def _origin(run: Run, folder: Path) -> tuple[str, ...]:
    start = run.settings.start_from
    return tuple(str(Path(f).resolve()) for f in (folder, *((start,) if start else ()), *run.mean_of))


def _weights(model: Any, folder: Path, first: Path) -> Weights:
    """A run's weights, its BatchNorm statistics restated to the first run's: each run measures its own."""
    network.load_weights(model, first / BEST)
    statistics = [layer.get_weights()[2:] for layer in network.norms(model)]
    network.load_weights(model, folder / BEST)
    for layer, (mean, variance) in zip(network.norms(model), statistics, strict=True):
        network.restate(layer, mean, variance)
    return [np.asarray(w, np.float64) for w in model.get_weights()]
