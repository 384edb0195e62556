"""A run of drawn people whose network was never trained, exported once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.opencv import cv2
from edge.preprocess import crop_face
from tests.trainer.drawn import BOX, person
from tests.trainer.learn.prepared import prepared_set
from trainer.learn import network, runs
from trainer.ship.bundle import Naming, write_bundle
from trainer.ship.exported import Asked, Export, export_run
from trainer.ship.runtimes import find_tflite_python

SETTINGS = runs.Settings(data="faces", weights=None, input_px=32, alpha=0.35, epochs=1, draws=16, batch=8)
NAN = float("nan")
FIGURES = (runs.EpochFigures("whole", 1, 0.9, 0.6, 0.8, 0.75, 0.7, 0.8, NAN, 1e-4, 1.0),)
RUN = runs.Run(SETTINGS, runs.Division(18, 9, "held_out", True), FIGURES, {"whole": 1.0}, chosen=0)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_set(tmp_path_factory.mktemp("ship") / "faces", people=12)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ship-run") / "run"
    folder.mkdir()
    network.save_weights(network.build(32, 0.35, None, 0.2, seed=1), folder / runs.BEST)
    runs.write_run(folder, RUN)
    return folder


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    cv2.imwrite(str(folder / "drawn.png"), crop_face(person("mask"), BOX, 0.2, 32)[:, :, ::-1])
    return folder


@pytest.fixture(scope="session")
def made(run: Path, faces: Path) -> Export:
    return export_run(run, faces, Asked(tflite_python=find_tflite_python(None)))


@pytest.fixture(scope="session")
def bundle(made: Export, run: Path, faces: Path, golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "drawn"
    write_bundle(made, run, faces, Naming("drawn", "1", golden), out)
    return out
