"""A run killed between any two of its writes goes on with --resume as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError
from tests.trainer.learn.prepared import prepared_set
from trainer.learn import fit, kept, learner, network, runs
from trainer.learn.recipes import PLANS
from trainer.learn.runs import BEST, LAST, RUN, EpochFigures, Run, Settings, read_run
from trainer.metrics import Floats
from trainer.quiet import start_tensorflow
from trainer.whole import replace_file

MERITS = {("whole", 1): 0.9, ("whole", 2): 0.7}  # the first of two epochs is the best
WRITES = [RUN, LAST, BEST, RUN, LAST, BEST, RUN, LAST, RUN]  # the head, an epoch that is chosen, one that is not


def tiny(settings: Settings) -> network.Model:
    """Of the same ends as ours, compiled in a second."""
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(settings.seed)
    image = keras.Input((settings.input_px, settings.input_px, 3))
    found = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, strides=4, activation="relu")(image))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Dropout(0.2)(found)))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a run that selects the better of two epochs of a tiny network."""
    faces = prepared_set(tmp_path_factory.mktemp("faces") / "set")
    with pytest.MonkeyPatch.context() as patch:
        plan = replace(PLANS["mobilenet_v2"], bare=tiny, begin=lambda settings, _rows: tiny(settings))
        patch.setitem(PLANS, "mobilenet_v2", plan)
        patch.setattr(EpochFigures, "merit", property(lambda f: MERITS.get((f.phase, f.epoch), 0.5)))
        yield Settings(str(faces), None, input_px=32, draws=8, batch=4, epochs=2)


@pytest.fixture(scope="module")
def whole(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a break."""
    folder = tmp_path_factory.mktemp("whole")
    fit.train(settings, folder, resume=False)
    return folder


class Killed(BaseException):
    """As by SIGKILL: nothing in the program handles it."""


def train_until(write: int, settings: Settings, folder: Path) -> list[str]:
    """Die at the start of the write of that number, counted from 1. Returns the files written until then."""
    written: list[str] = []

    def counted(path: Path, make: Callable[[Path], object]) -> None:
        if len(written) + 1 == write:
            raise Killed
        replace_file(path, make)
        written.append(path.name)

    with pytest.MonkeyPatch.context() as patch:
        for module in (learner, network, runs):
            patch.setattr(module, "replace_file", counted)
        with pytest.raises(Killed):
            fit.train(settings, folder, resume=False)
    return written


def losses(run: Run) -> list[float]:
    return [f.loss for f in run.figures]


def answers(folder: Path) -> Floats:
    return kept.open_run(folder).logits(np.random.default_rng(1).integers(0, 255, (4, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("write", range(2, len(WRITES) + 1))
def test_run_killed_between_two_writes_ends_as_one_without_a_break(
    settings: Settings, whole: Path, tmp_path: Path, write: int
) -> None:
    written = train_until(write, settings, tmp_path)
    resumed = fit.train(settings, tmp_path, resume=True)
    assert losses(resumed) == pytest.approx(losses(read_run(whole)), rel=1e-4)
    assert str(read_run(tmp_path)) == str(resumed)
    assert resumed.best
    assert (resumed.best.phase, resumed.best.epoch) == ("whole", 1)
    assert answers(tmp_path) == pytest.approx(answers(whole), abs=1e-4)
    assert written == WRITES[: write - 1]


def test_run_without_its_checkpoint_does_not_go_on(settings: Settings, tmp_path: Path) -> None:
    train_until(5, settings, tmp_path)
    (tmp_path / LAST).unlink()
    with pytest.raises(DataError, match=r"no last.npz to go on from: start a new one with --start-from"):
        fit.train(settings, tmp_path, resume=True)
