"""A prepared set, a bundle and a run, small enough for every run of the tests."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.edge.bundles import make_bundle
from tests.trainer.judge.coloured import coloured_set, some
from trainer.faces.manifest import manifest_sha256
from trainer.learn import network, runs

NAN = float("nan")
SETTINGS = runs.Settings(data="faces", weights=None, input_px=32, alpha=0.35, epochs=2, draws=16, batch=8)
FIGURES = (
    runs.EpochFigures("head", 1, 1.1, 0.4, 1.0, 0.5, 0.5, 0.5, 0.5, 1e-3, 0.1),
    runs.EpochFigures("whole", 1, 0.9, 0.6, 0.8, 0.75, 0.7, 0.8, NAN, 1e-4, 1.0),
    runs.EpochFigures("whole", 2, 0.7, 0.7, 0.7, 0.8, 0.8, 0.8, NAN, 1e-4, 1.0),
)
RUN = runs.Run(SETTINGS, runs.Division(72, 36, "held_out", True), FIGURES, {"whole": 2.0}, chosen=2)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of two sources; each has faces to train on and held-out ones."""
    wanted = [f for source in ("square", "circle") for split in ("train", "held_out") for f in some(12, source, split)]
    return coloured_set(tmp_path_factory.mktemp("judge") / "faces", wanted)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def run(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network was never trained, with the record of one that was, on ``faces``."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    network.save_weights(network.build(32, 0.35, None, 0.2, seed=1), folder / runs.BEST)
    runs.write_run(folder, replace(RUN, manifest_sha256=manifest_sha256(faces)))
    return folder


@pytest.fixture(scope="session")
def bundle_of_run(run: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, which says that it was made of ``run``."""
    return make_bundle(tmp_path_factory.mktemp("bundle-of-run"), training=training(run, faces))


def training(run: Path, faces: Path, **settings: object) -> dict[str, object]:
    """What ``trainer export`` writes of a run, with other settings."""
    record = runs.read_run(run)
    division = {k: v for k, v in asdict(record.division).items() if k in ("judged_on", "selecting", "unseen")}
    return {
        "settings": {k: v for k, v in asdict(record.settings).items() if k not in ("data", "weights")} | settings,
        "epochs_of_runs": [2],
        "chosen_by": division,
        "prepared_set_sha256": manifest_sha256(faces),
    }


@pytest.fixture(scope="session")
def runs_left_out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without either source; and one that left none out, one without weights."""
    folder = tmp_path_factory.mktemp("left-out")
    for source in ("square", "circle"):
        write_copy(run, folder / f"without-{source}", leave_out=(source,))
    write_copy(run, folder / "all-sources")
    write_copy(run, folder / "unfinished", leave_out=("circle",))
    (folder / "unfinished" / runs.BEST).unlink()
    return folder


def write_copy(run: Path, folder: Path, **changes: object) -> Path:
    """The same weights under other settings."""
    folder.mkdir()
    (folder / runs.BEST).write_bytes((run / runs.BEST).read_bytes())
    runs.write_run(folder, replace(RUN, settings=replace(SETTINGS, **changes)))  # type: ignore[arg-type]
    return folder
