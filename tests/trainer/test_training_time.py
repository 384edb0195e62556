"""What the benchmark of training takes for an export."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.training_time import exported_s
from tests.trainer.ship.conftest import RUN, SETTINGS
from trainer.learn.runs import write_run


def test_an_export_that_is_refused_is_timed_and_one_that_breaks_is_not(tmp_path: Path) -> None:
    write_run(tmp_path, replace(RUN, settings=replace(SETTINGS, recipe="reference")))
    assert exported_s(tmp_path, tmp_path, tmp_path / "out") > 0  # exit 65
    with pytest.raises(SystemExit, match="could not be exported: exit code 66"):
        exported_s(tmp_path / "nowhere", tmp_path, tmp_path / "out")
