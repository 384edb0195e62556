"""From a configuration to the stages it asks for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from edge.accelerator import open_judge
from edge.bundle import load_bundle
from edge.classify import Judge
from edge.config import Config
from edge.decide import Decider, Rules
from edge.detect import CenterFace, Detector, YuNet
from edge.errors import InputMissing
from edge.pipeline import Pipeline
from edge.places import default_bundle
from edge.snapshot import BestLooks
from edge.third_party import is_present, locate
from edge.track import Tracker

log = logging.getLogger(__name__)

RUN_MIN_FACE_PX: Final = 32
STILL_MIN_FACE_PX: Final = 20


def open_detector(config: Config) -> Detector:
    """The detector asked for; ``auto`` is YuNet where its file is present, else CenterFace."""
    name, long_side_px = config.detector.name, config.detector.long_side_px
    if name == "auto":
        if not is_present("yunet") and not is_present("centerface"):
            raise InputMissing("no face detector is on this machine", "run 'edge model fetch'")
        name = "yunet" if is_present("yunet") else "centerface"
    file = locate(name)
    log.info("detector %s at %d px, %s", name, long_side_px, file.path)
    kind = YuNet if name == "yunet" else CenterFace
    return kind(file.data, long_side_px=long_side_px)


def open_classifier(config: Config, *, stays: bool = False, waits: bool = True) -> Judge:
    """The classifier of the bundle asked for, checked and run once. stays, waits: see ``open_judge``."""
    path = Path(config.classifier.bundle) if config.classifier.bundle else default_bundle()
    asked = config.classifier
    classifier = open_judge(load_bundle(path), asked.accelerator, asked.threads, stays=stays, waits=waits)
    log.info("model %s on %s", classifier.model, classifier.runtime)
    return classifier


def build_pipeline(config: Config, detector: Detector, classifier: Judge) -> Pipeline:
    tracker = Tracker(config.track.return_s, detector.sure_score)
    looks = BestLooks() if config.mqtt.snapshot else None
    decider = Decider(rules(config, classifier))
    return Pipeline(detector, tracker, classifier, decider, min_face_px(config), looks=looks)


def rules(config: Config, classifier: Judge) -> Rules:
    return Rules(classifier.threshold, config.decide.max_looks, config.decide.change_s)


def min_face_px(config: Config) -> float:
    return config.detector.min_face_px or RUN_MIN_FACE_PX
