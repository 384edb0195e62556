"""Whole trainings on drawn people: small networks, one step an epoch."""

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError, DiskError
from tests.trainer.learn.prepared import prepared_set
from trainer.faces.manifest import manifest_sha256
from trainer.learn import fit, kept, network
from trainer.learn.recipes import PLANS
from trainer.learn.runs import BEST, LAST, RUN, Run, Settings, read_run, write_run
from trainer.metrics import Floats

AFTER_HEAD = "head.weights.h5"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_set(tmp_path_factory.mktemp("faces") / "set")


@pytest.fixture(scope="module")
def ours(faces: Path) -> Settings:
    return Settings(str(faces), None, unseen=("none",), input_px=32, alpha=0.35, draws=8, batch=8, epochs=1)


@pytest.fixture(scope="module")
def quick(faces: Path) -> Settings:
    """A recipe whose step is compiled in a second."""
    plan = PLANS["baseline_cnn"]
    return replace(Settings(str(faces), None, recipe="baseline_cnn", unseen=("none",)), **{**plan.preset, "epochs": 2})


@pytest.fixture(scope="module")
def our_run(ours: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stopped by Ctrl-C after the head was fitted, then resumed to its end."""
    folder = tmp_path_factory.mktemp("ours")
    with pytest.raises(KeyboardInterrupt):
        fit.train(ours, folder, resume=False, telling=Interrupted("head, 20 epochs").telling)
    shutil.copy(folder / BEST, folder / AFTER_HEAD)
    fit.train(ours, folder, resume=True)
    return folder


@pytest.fixture(scope="module")
def quick_run(quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs without a break."""
    folder = tmp_path_factory.mktemp("quick")
    fit.train(quick, folder, resume=False)
    return folder


def losses(run: Run) -> list[float]:
    return [f.loss for f in run.figures]


class Interrupted:
    """Presses Ctrl-C at the first line that holds a word."""

    def __init__(self, word: str) -> None:
        self._word = word

    def say(self, line: str) -> None:
        if self._word in line:
            raise KeyboardInterrupt

    @contextmanager
    def progress(self, what: str, _total: int) -> Iterator[Callable[[int], None]]:
        self.say(what)
        yield lambda _more: self.say(f"{what} under way")

    @property
    def telling(self) -> fit.Telling:
        return fit.Telling(self.say, self.progress)


def test_both_phases_are_recorded_with_their_seconds(our_run: Path) -> None:
    run = read_run(our_run)
    assert [f.phase for f in run.figures] == ["head"] * 20 + ["whole"]
    assert set(run.timings) == {"start", "features", "head", "whole"}
    assert run.best is run.figures[-1]
    assert run.division.trained == 18


def test_head_learns_from_cached_features(our_run: Path) -> None:
    heads = [f for f in read_run(our_run).figures if f.phase == "head"]
    assert heads[-1].loss < heads[0].loss


def test_tuning_learns_shifts_but_not_batch_statistics(our_run: Path, ours: Settings) -> None:
    model = kept.load_best(our_run, ours)
    _, shift, *statistics = [np.array(w) for w in network.norms(model)[-1].get_weights()]
    network.load_weights(model, our_run / AFTER_HEAD)
    _, shift_before, *statistics_before = [np.array(w) for w in network.norms(model)[-1].get_weights()]
    assert not np.array_equal(shift, shift_before)
    assert all(np.array_equal(a, b) for a, b in zip(statistics, statistics_before, strict=True))


def test_interrupt_in_the_first_phase_leaves_weights_that_answer(ours: Settings, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.train(ours, tmp_path, resume=False, telling=Interrupted("features under way").telling)
    assert answers(tmp_path).shape == (4, 3)


def answers(folder: Path) -> Floats:
    """Of a run's kept network, to four pictures."""
    run = kept.open_run(folder)
    return run.logits(np.random.default_rng(1).integers(0, 255, (4, run.size_px, run.size_px, 3), np.uint8))


def test_same_seed_gives_the_same_run_and_another_seed_another(
    quick_run: Path, quick: Settings, tmp_path: Path
) -> None:
    again, other = (
        fit.train(replace(quick, epochs=1, seed=seed), _new(tmp_path / str(seed)), resume=False) for seed in (1, 2)
    )
    first = losses(read_run(quick_run))[0]
    assert losses(again)[0] == pytest.approx(first, rel=1e-4)
    assert losses(other)[0] != pytest.approx(first, rel=1e-4)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_resumed_run_ends_as_one_without_a_break(quick_run: Path, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.train(quick, tmp_path, resume=False, telling=Interrupted("epoch 1/2").telling)
    assert len(read_run(tmp_path).whole) == 1
    resumed = fit.train(quick, tmp_path, resume=True)
    assert losses(resumed) == pytest.approx(losses(read_run(quick_run)), rel=1e-2)
    assert answers(tmp_path) == pytest.approx(answers(quick_run), abs=0.05)


def test_interrupt_in_the_first_epoch_leaves_weights_and_a_run_that_goes_on(quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.train(quick, tmp_path, resume=False, telling=Interrupted("training under way").telling)
    assert answers(tmp_path).shape == (4, 3)
    assert len(fit.train(quick, tmp_path, resume=True).whole) == 2


def test_run_does_not_go_on_with_other_faces(quick_run: Path, tmp_path: Path) -> None:
    moved = replace(read_run(quick_run), settings=replace(read_run(quick_run).settings, data=str(tmp_path / "set")))
    prepared_set(tmp_path / "set", people=4)
    write_run(tmp_path, moved)
    with pytest.raises(DataError, match="is not the set of this run"):
        fit.train(moved.settings, tmp_path, resume=True)
    write_run(tmp_path, replace(moved, manifest_sha256=""))  # as in runs of before it was noted
    with pytest.raises(DataError, match="other faces than when this run began"):
        fit.train(moved.settings, tmp_path, resume=True)


def test_run_knows_the_set_that_it_was_trained_on(quick_run: Path, faces: Path) -> None:
    assert read_run(quick_run).manifest_sha256 == manifest_sha256(faces)


def test_run_is_not_started_from_one_that_saw_what_it_is_to_be_judged_on(
    our_run: Path, ours: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"was trained on b.*nothing can"):
        fit.train(replace(ours, start_from=str(our_run), leave_out=("b",)), tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()


def test_compiled_answers_are_those_of_the_network(our_run: Path, ours: Settings) -> None:
    model = kept.load_best(our_run, ours)
    crops = np.random.default_rng(2).integers(0, 255, (kept.AT_ONCE + 3, 32, 32, 3), np.uint8)
    plain = np.asarray(model(network.scale(crops), training=False))
    logits = kept.answering(model)
    assert logits(crops) == pytest.approx(plain, abs=1e-5)
    model.layers[-1].bias.assign_add([1.0, 0.0, 0.0])  # as a step of training or a swap does
    assert logits(crops) == pytest.approx(plain + np.array([1.0, 0, 0]), abs=1e-5)


@pytest.mark.parametrize("recipe", ["mobilenet_v2", "baseline_cnn"])
def test_ctrl_c_to_the_command_ends_it_cleanly_with_usable_weights(faces: Path, tmp_path: Path, recipe: str) -> None:
    small = ["--input-px", "32", "--alpha", "0.35", "--draws", "8", "--batch", "8", "--weights", "random"]
    command = ["train", str(faces), "--out", str(tmp_path / "run"), "--recipe", recipe, "--epochs", "1000"]
    command += small if recipe == "mobilenet_v2" else []
    with subprocess.Popen(
        [sys.executable, "-m", "trainer", *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as started:
        assert started.stderr
        said = [next(started.stderr) for _ in range(2)]  # who judges, and the first figures
        started.send_signal(signal.SIGINT)
        said += started.stderr.readlines()
    assert started.returncode == 130
    assert "Traceback" not in "".join(said)
    assert said[-2:] == ["it goes on where it was with --resume\n", "trainer: stopped\n"]
    assert answers(tmp_path / "run").shape == (4, 3)


def test_full_disk_is_said_and_leaves_the_older_checkpoint_whole(quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.train(quick, tmp_path, resume=False, telling=Interrupted("epoch 1/2").telling)
    before = {name: (tmp_path / name).read_bytes() for name in (BEST, LAST)}
    with _files_of_at_most(200_000), pytest.raises(DiskError, match=BEST) as caught:
        fit.train(quick, tmp_path, resume=True)
    assert caught.value.exit_code == 74
    assert {name: (tmp_path / name).read_bytes() for name in (BEST, LAST)} == before
    assert not list(tmp_path.glob("new.*"))


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk does: a write past ``size`` bytes fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_run_that_is_done_says_so_and_stays_as_it_is(quick_run: Path, quick: Settings) -> None:
    before, told = (quick_run / RUN).read_text(), list[str]()
    fit.train(quick, quick_run, resume=True, telling=fit.Telling(told.append))
    assert "all 2 epochs are done already" in told[-1]
    assert (quick_run / RUN).read_text() == before
