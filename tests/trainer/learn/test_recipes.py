from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edge.preprocess import crop_face
from edge.records import ImageU8
from tests.trainer.drawn import BOX, person, row
from tests.trainer.learn.test_runs import epoch, trained
from trainer.__main__ import main
from trainer.commands.train import RecipeName
from trainer.learn import network
from trainer.learn.learner import Learner
from trainer.learn.recipes import PLANS, baseline_cnn, classic, mobilenet_v2, reference
from trainer.learn.runs import Run, Settings
from trainer.learn.strategies import open_strategy


def pictures(size_px: int) -> ImageU8:
    """Two masked and two bare faces, (4, size_px, size_px, 3)."""
    people = [person(label, seed) for label in ("mask", "no_mask") for seed in (1, 2)]
    return np.stack([crop_face(p, BOX, 0.2, size_px) for p in people])


LABELS: npt.NDArray[np.int64] = np.array([0, 0, 1, 1])


@pytest.fixture(scope="module")
def baseline() -> network.Model:
    return baseline_cnn.network(seed=1)


@pytest.fixture(scope="module")
def improved() -> network.Model:
    return reference.network(None, seed=1)


def test_baseline_has_the_parameters_of_2020(baseline: network.Model) -> None:
    assert baseline.count_params() == baseline_cnn.PARAMETERS == 9_494_561


def test_reference_has_the_parameters_of_2020(improved: network.Model) -> None:
    assert improved.count_params() == reference.PARAMETERS == 4_095_554
    assert sum(int(np.prod(v.shape)) for v in improved.trainable_variables) == reference.TRAINABLE == 1_837_570


def test_reference_never_gets_below_the_loss_that_its_fault_allows(improved: network.Model) -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    lesson = reference.lesson(improved, 1e-4, seed=1)
    assert np.asarray(lesson.loss(np.array([0, 1]), certain)) == pytest.approx(0.3133, abs=1e-4)
    mended = reference.lesson(improved, 1e-4, seed=1, faults=reference.Faults(from_logits=False))
    assert np.asarray(mended.loss(np.array([0, 1]), certain)) == pytest.approx(0.0, abs=1e-4)


def test_reference_keeps_its_fault_in_a_compiled_step_too() -> None:
    """There Keras' own loss would find the logits before the softmax, and mend it."""
    model = reference.network(None, seed=1)
    model.layers[-1].bias.assign([50.0, -50.0])  # sure of a mask, whatever it sees
    learner = Learner(reference.lesson(model, 0.0, seed=1), open_strategy("one"))
    loss, right = np.asarray(learner.learn(pictures(reference.INPUT_PX)[:2], LABELS[:2])).tolist()
    assert right == 1.0
    assert loss == pytest.approx(0.3133, abs=1e-3)


def test_reference_leaves_its_base_as_it_was(improved: network.Model) -> None:
    base = next(layer for layer in improved.layers if layer.name.startswith("mobilenetv2"))
    before = [w.copy() for w in base.get_weights()]
    learner = Learner(reference.lesson(improved, 1e-4, seed=1), open_strategy("one"))
    learner.learn(pictures(reference.INPUT_PX), LABELS)
    assert all(np.array_equal(a, b) for a, b in zip(base.get_weights(), before, strict=True))


def test_baseline_learns_four_faces_from_plain_arrays() -> None:
    passes = classic.Passes(pictures(150), LABELS, batch=4, seed=1)
    lesson = baseline_cnn.lesson(baseline_cnn.network(seed=2), 1e-4, seed=1)
    met = list(classic.fit_pictures(lesson, passes, 5, open_strategy("one")))
    assert len(met) == 5
    assert met[-1].loss < met[0].loss


@pytest.mark.parametrize("name", ["baseline_cnn", "reference"])
def test_two_class_networks_answer_as_all_do(name: str, baseline: network.Model, improved: network.Model) -> None:
    model, plan = {"baseline_cnn": baseline, "reference": improved}[name], PLANS[name]
    crops = pictures(int(plan.preset["input_px"]))
    logits = np.asarray(plan.judged(model)(network.scale(crops), training=False))
    shares = np.asarray(model(crops / np.float32(255), training=False))
    bare = shares[:, -1]  # the only number of the first, the second of the other
    assert logits.shape == (4, 3)
    assert np.exp(logits[:, 1]) == pytest.approx(bare, abs=1e-4)
    assert (logits[:, 2] == classic.NEVER).all()


def test_badly_worn_counts_as_bare_where_there_are_two_classes() -> None:
    rows = [row("mask"), row("no_mask"), row("incorrect")]
    assert classic.two_labels(rows).tolist() == [0, 1, 1]


def test_a_pass_shows_every_picture_once() -> None:
    numbered = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1) * np.ones((1, 2, 2, 3), np.uint8)
    passes = classic.Passes(numbered, np.zeros(7, np.int64), batch=3, seed=1)
    batches = list(passes.epoch(1))
    assert len(batches) == passes.steps() == 3
    assert sorted(np.concatenate([b.images_rgb[:, 0, 0, 0] for b in batches]).tolist()) == list(range(7))


def test_augmentation_of_2020_fills_with_the_edge_and_repeats_with_its_seed() -> None:
    flat = np.full((8, 64, 64, 3), 0.5, np.float32)
    flat[:, 20:40, 20:40] = 1.0
    first, again, other = (np.asarray(classic.augmentation(seed)(flat, training=True)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0.5 - 1e-6  # nothing black comes in from outside


def test_baseline_stops_at_its_training_accuracy() -> None:
    run = Run(Settings("", None))
    assert PLANS["baseline_cnn"].is_over(run.after(replace(epoch("whole", 1, 0.5), accuracy=0.93))) is None
    assert PLANS["baseline_cnn"].is_over(run.after(replace(epoch("whole", 1, 0.5), accuracy=0.94)))


def test_ours_stops_when_no_epoch_is_better_for_long() -> None:
    worse = [0.9] * mobilenet_v2.PATIENCE
    assert mobilenet_v2.is_over(trained(0.95, *worse[1:])) is None
    assert mobilenet_v2.is_over(trained(0.95, *worse))
    assert mobilenet_v2.is_over(trained(0.95, *worse, selecting=False)) is None


def test_what_is_part_of_a_recipe_cannot_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "faces", "--out", "run", "--recipe", "baseline_cnn", "--alpha", "0.5", "--rate", "1"]) == 64
    assert "--alpha, --rate cannot be set: part of the recipe baseline_cnn" in capsys.readouterr().err


def test_command_knows_all_recipes() -> None:
    assert {name.value for name in RecipeName} == set(PLANS)
