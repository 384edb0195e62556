"""SIGHUP: another model and other rules between two frames, and nobody is lost."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.assemble import rules
from edge.classify import Classifier
from edge.config import CameraConfig, ClassifierConfig, Config, DecideConfig, DetectorConfig, MqttConfig
from edge.decide import Decider
from edge.errors import ConfigError, EdgeError
from edge.pipeline import Pipeline, Told
from edge.records import Frame
from edge.reload import Reloader, changed, hearing_hangups
from edge.track import Tracker
from tests.edge.bundles import GREEN_BGR, RED_BGR, make_bundle, plain, tiny
from tests.edge.test_pipeline import Script, frame, standing

FRAMES = 40


class Door:
    """A pipeline with a real model, before which one person stands; and its reloader."""

    def __init__(self, folder: Path) -> None:
        self.first = make_bundle(folder / "first", name="first")
        self.second = make_bundle(folder / "second", name="second", thresholds={"mask": 0.999})
        self.config = Config(classifier=ClassifierConfig(bundle=str(self.first)))
        classifier = Classifier(tiny(folder / "first", name="first"))
        decider = Decider(rules(self.config, classifier))
        self.pipeline = Pipeline(Script(standing(FRAMES)), Tracker(), classifier, decider, 32)
        self.models: list[str] = []

    def reloader(self, reread: Callable[[], Config]) -> Reloader:
        return Reloader(self.config, reread, self.pipeline, lambda classifier: self.models.append(classifier.model))

    def see(self, start: int, end: int) -> list[Told]:
        return [told for index in range(start, end) for told in self.pipeline.process(frame(index))]

    def with_bundle(self, bundle: Path) -> Config:
        return replace(self.config, classifier=ClassifierConfig(bundle=str(bundle)))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_another_model_judges_from_the_next_frame_on_and_the_person_stays_the_same(door: Door) -> None:
    before = door.see(0, 20)
    door.reloader(lambda: door.with_bundle(door.second)).reload()
    after = door.see(20, FRAMES) + door.pipeline.finish()
    kinds = [(told.verdict.kind, told.verdict.person) for told in before + after]
    assert kinds[0] == ("decided", 1)
    assert kinds[-1] == ("left", 1)
    assert {person for _, person in kinds} == {1}
    assert door.models[0].startswith("second@")


def test_somebody_who_was_looked_at_for_a_moment_only_keeps_their_looks(door: Door) -> None:
    door.see(0, 4)
    door.reloader(lambda: door.config).reload()
    told = door.see(4, FRAMES) + door.pipeline.finish()
    unbroken = Door(door.first.parent / "other")
    expected = unbroken.see(0, FRAMES) + unbroken.pipeline.finish()
    assert [(one.verdict, one.frame) for one in told] == [(one.verdict, one.frame) for one in expected]


def failing(error: EdgeError | OSError) -> Callable[[], Config]:
    def reread() -> Config:
        raise error

    return reread


@pytest.mark.parametrize("error", [ConfigError("camera.fps must be 0.1-240"), PermissionError(13, "no", "/etc/x")])
def test_a_configuration_that_cannot_be_used_is_refused_and_said(
    door: Door, error: EdgeError | OSError, caplog: pytest.LogCaptureFixture
) -> None:
    reloader = door.reloader(failing(error))
    reloader.reload()
    assert reloader.is_refused
    assert door.models == []
    assert caplog.messages == [f"reload: refused, what was in force before still is: {error}"]


def test_the_model_alone_is_loaded_under_the_configuration_in_force(door: Door) -> None:
    """The way back from a bad model must not need a file that is being edited."""
    reloader = door.reloader(failing(ConfigError("config.toml is not TOML")))
    reloader.reload(rereads=False)
    assert (reloader.is_refused, len(door.models)) == (False, 1)


def test_a_model_that_comes_and_goes_makes_no_file_usable(door: Door) -> None:
    """The next start would fail over it, and health is where that is seen in time."""
    mistakes: list[EdgeError] = [ConfigError("config.toml is not TOML")]
    config = door.with_bundle(door.second)

    def reread() -> Config:
        if mistakes:
            raise mistakes.pop()
        return config

    reloader = door.reloader(reread)
    reloader.reload()
    reloader.reload(rereads=False)
    assert reloader.is_refused
    reloader.reload()
    assert not reloader.is_refused


def test_in_force_is_what_was_taken_last_not_what_the_run_began_with(door: Door) -> None:
    files = iter([door.with_bundle(door.second)])
    reloader = door.reloader(lambda: next(files))
    reloader.reload()
    reloader.reload(rereads=False)
    assert [model.split("@")[0] for model in door.models] == ["second", "second"]


def test_a_model_that_the_runtime_will_not_have_is_refused_whatever_it_says(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(_config: Config) -> Classifier:
        raise RuntimeError("op not found")

    monkeypatch.setattr("edge.reload.open_classifier", strange)
    reloader = door.reloader(lambda: door.with_bundle(door.second))
    reloader.reload()
    assert (reloader.is_refused, door.models) == (True, [])


def test_a_damaged_model_is_refused_until_a_good_one_comes(door: Door) -> None:
    bundle = [door.second]
    reloader = door.reloader(lambda: door.with_bundle(bundle[0]))
    (door.second / "model.tflite").write_bytes(b"half a mod")
    told = []
    for bundle[0] in (door.second, door.first):
        reloader.reload()
        told.append(reloader.is_refused)
    assert told == [True, False]
    assert [model.split("@")[0] for model in door.models] == ["first"]


def test_what_cannot_change_while_it_runs_is_said_to_need_a_restart(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(door.config, camera=CameraConfig(source="rtsp://other"), mqtt=MqttConfig(keepalive_s=60))
    with caplog.at_level(logging.WARNING):
        door.reloader(lambda: replace(other, decide=DecideConfig(max_looks=20))).reload()
    assert caplog.messages == [
        "reload: camera.source, mqtt.keepalive_s changed: restart the service to have it take effect"
    ]


def test_a_face_that_counts_is_a_matter_of_the_new_configuration(door: Door) -> None:
    door.reloader(lambda: replace(door.config, detector=DetectorConfig(min_face_px=60))).reload()
    assert door.see(0, FRAMES) == []  # the one who stands there is 50 pixels large


def test_changes_are_named_by_their_keys() -> None:
    assert changed(Config(), Config()) == []
    assert changed(Config(), replace(Config(), decide=DecideConfig(change_s=2.0))) == ["decide.change_s"]


def test_a_service_hears_a_hangup_and_a_terminal_run_keeps_its_old_meaning() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hearing_hangups(is_service=True) as hangup:
        os.kill(os.getpid(), signal.SIGHUP)
        assert hangup.asked
    with hearing_hangups(is_service=False):
        assert signal.getsignal(signal.SIGHUP) == before
    assert signal.getsignal(signal.SIGHUP) == before


def test_a_rehearsal_runs_the_classifier_to_no_effect(door: Door) -> None:
    for colour in (GREEN_BGR, RED_BGR):
        door.pipeline.rehearse(Frame(plain(colour, 120, 160), 0, 0.0, 0.0))
    assert door.pipeline.finish() == []
