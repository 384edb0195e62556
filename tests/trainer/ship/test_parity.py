"""Trainer and device give a model the very same bytes for the same face, and its input means what training meant."""

from pathlib import Path

import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.classify import Classifier
from edge.interpreter import Interpreter
from edge.opencv import cv2
from edge.records import Box
from tests.trainer.drawn import person, row
from trainer.faces.crops import read_context
from trainer.faces.manifest import FaceRow, write_manifest
from trainer.judge.evaluate import answers
from trainer.judge.models import open_model
from trainer.learn import network
from trainer.ship.exported import Export

BOXES = (
    Box(60, 50, 80, 100),
    Box(60.4, 49.7, 79.8, 101.3),  # between pixels
    Box(-20, -10, 90, 90),  # over the left and upper border
    Box(150, 140, 80, 70),  # over the right and lower border
    Box(90, 90, 9, 12),  # enlarged
    Box(2, 2, 196, 196),  # shrunk, margin outside
)


@pytest.fixture
def set_of_boxes(tmp_path: Path) -> tuple[Path, list[FaceRow]]:
    rows = []
    for i, box in enumerate(BOXES):
        cv2.imwrite(str(tmp_path / f"{i}.png"), person("mask", seed=i))
        place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        rows.append(row("mask", path=f"{i}.png", group=str(i), **place))
    write_manifest(tmp_path, rows)
    return tmp_path, rows


def test_no_byte_of_the_model_s_input_differs(
    bundle: Path, set_of_boxes: tuple[Path, list[FaceRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = set_of_boxes
    given: list[np.ndarray] = []
    run = Interpreter.run

    def listening(self: Interpreter, batch: np.ndarray) -> np.ndarray:
        given.append(batch.copy())
        return run(self, batch)

    classifier, judged = Classifier(load_bundle(bundle)), open_model(bundle)
    monkeypatch.setattr(Interpreter, "run", listening)
    answers(judged, folder, rows)
    by_trainer, by_device = given.copy(), given
    by_device.clear()
    for each in rows:
        classifier.read(read_context(folder, each), each.box)
    assert len(by_trainer) == len(by_device) == len(BOXES)
    differing = sum(int((a != b).sum()) for a, b in zip(by_trainer, by_device, strict=True))
    assert differing == 0
    assert all(a.dtype == b.dtype == np.uint8 for a, b in zip(by_trainer, by_device, strict=True))


def test_every_pixel_value_means_to_the_integers_what_it_meant_in_training(made: Export) -> None:
    values = np.arange(256, dtype=np.uint8)
    by_integers = made.input.scale * (values.astype(float) - made.input.zero_point)
    assert np.abs(by_integers - network.scale(values)).max() <= made.input.scale / 2 + 1e-6
