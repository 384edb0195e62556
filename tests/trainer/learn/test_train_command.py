"""What ``trainer train`` refuses, before any network is made."""

import json
from pathlib import Path

import pytest

from tests.trainer.learn.prepared import prepared_set
from trainer.__main__ import main
from trainer.commands import train
from trainer.learn.runs import RUN, Run, Settings, write_run


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with ``set`` and a ``run`` on it that has no epoch yet."""
    prepared_set(tmp_path / "set", people=4)
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", Run(Settings(str(tmp_path / "set"), None, unseen=("a", "b"), seed=7)))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--epochs", "30"], "--epochs"),
        (["--margin", "0.3", "--seed", "1"], "--margin, --seed"),
        (["--weights", "imagenet", "--unseen", "a"], "--unseen, --weights"),
        (["--recipe", "reference"], "--recipe"),
    ],
)
def test_options_that_a_resumed_run_would_ignore_are_refused_by_name(
    begun: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(begun / "set"), "--out", str(begun / "run"), "--resume", *options]) == 64
    assert f"trainer: {named} cannot differ from the run's own" in capsys.readouterr().err


def test_resumed_run_is_refused_other_faces(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = prepared_set(begun / "other", people=4)
    assert main(["train", str(other), "--out", str(begun / "run"), "--resume"]) == 64
    assert "FACES cannot differ" in capsys.readouterr().err


def test_options_as_recorded_may_stand_beside_resume(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(begun)
    settings = train._resumed(
        Settings(str(begun / "set"), None, seed=7),
        {"data": str(begun / "run" / ".." / "set"), "weights": None, "seed": 7},
    )
    assert settings.seed == 7


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_seed_that_no_generator_takes_is_a_mistake_of_the_command(seed: str) -> None:
    assert main(["train", "set", "--out", "run", "--seed", seed]) == 64


def test_two_places_to_start_from_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "set", "--out", str(tmp_path / "run"), "--weights", "random", "--start-from", "run"]
    assert main(command) == 64
    assert "--weights and --start-from" in capsys.readouterr().err


def test_training_that_fails_on_its_inputs_leaves_no_folder(begun: Path) -> None:
    for inputs in (["nowhere", "--weights", "random"], [str(begun / "set"), "--weights", "nowhere.h5"]):
        assert main(["train", *inputs, "--out", str(begun / "new"), "--input-px", "32", "--alpha", "0.35"]) == 66
        assert not (begun / "new").exists()


def test_record_holds_whole_paths_and_the_recipes_own_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepared_set(tmp_path / "set", people=4))
    assert main(["train", ".", "--out", "../run", "--recipe", "baseline_cnn", "--epochs", "1"]) == 0
    settings = json.loads((tmp_path / "run" / RUN).read_text())["settings"]
    assert settings["data"] == str(tmp_path / "set")
    assert settings["weights"] is None
    monkeypatch.chdir(tmp_path)
    assert main(["train", "set", "--out", "run", "--resume"]) == 0
