"""From a configuration to a running daemon, and everything closed again at its end."""

from __future__ import annotations

import logging
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge import __version__
from edge.assemble import build_pipeline, open_classifier, open_detector
from edge.classify import Classifier
from edge.config import Config
from edge.detect import Detector
from edge.events import SCHEMA_VERSION, EventWriter
from edge.outbox import Limits, Outbox, open_outbox
from edge.passwords import read_password
from edge.places import state_dir
from edge.run import Outlet, Patience, closing, run, stopping
from edge.sinks import MqttSettings, SinkSettings, check_sinks, is_broker, open_sinks
from edge.sources import CameraSettings, Pace, Source, open_source

log = logging.getLogger(__name__)

EXIT_INTERRUPTED: Final = 130
DAY_S: Final = 86400.0


def run_daemon(config: Config, pace: Pace) -> int:
    """Run until the source ends (0), Ctrl-C (130) or SIGTERM (0)."""
    with stopping() as stop:
        check_sinks(config.publish.sinks, sink_settings(config, {}))
        detector, classifier = open_detector(config), open_classifier(config)
        pipeline = build_pipeline(config, detector, classifier)
        settings = sink_settings(config, info(detector, classifier))
        with open_camera(config, pace) as source, kept_events(config) as outbox:
            outlet = Outlet(event_writer(config, classifier.model, outbox))
            with closing(outlet, config.publish.drain_s):
                # The broker first: what a file or a pipe has been given must be in the outbox already, or a power cut
                # in between would give its number to another event.
                for spec in sorted(config.publish.sinks, key=is_broker, reverse=True):
                    outlet.sinks.extend(open_sinks(spec, settings, outbox, state_dir()))
                run(source, pipeline, outlet, patience(config), stop)
        return EXIT_INTERRUPTED if stop.signal == signal.SIGINT else 0


@contextmanager
def kept_events(config: Config) -> Iterator[Outbox | None]:
    """The outbox, where there is a broker to fill it for."""
    if not any(is_broker(spec) for spec in config.publish.sinks):
        yield None
        return
    outbox = open_outbox(state_dir(), Limits(config.outbox.max_events, config.outbox.max_age_days * DAY_S))
    if outbox.waiting:
        log.info("outbox: %d events wait from before, they go first", outbox.waiting)
    try:
        yield outbox
    finally:
        outbox.close()


def event_writer(config: Config, model: str, outbox: Outbox | None) -> EventWriter:
    """Counts on where the outbox stands; without one, from 1 in an epoch of its own."""
    epoch, last_seq = (None, 0) if outbox is None else (outbox.epoch, outbox.last_seq)
    return EventWriter(config.device.name, config.camera.name, model, epoch=epoch, first_seq=last_seq + 1)


def patience(config: Config) -> Patience:
    """Wait for at least three frames at a time: a capture that is broken off may cost a slow camera its picture."""
    limit_s = config.camera.read_timeout_s
    return Patience(limit_s, min(limit_s, max(2.0, 3 / config.camera.fps)))


def open_camera(config: Config, pace: Pace) -> Source:
    camera = config.camera
    settings = CameraSettings(width=camera.width, height=camera.height, fps=camera.fps, rotation=camera.rotation)
    password = read_password(Path(camera.password_file), "camera.password_file") if camera.password_file else None
    return open_source(camera.source, pace=pace, settings=settings, password=password)


def sink_settings(config: Config, about: dict[str, str | int]) -> SinkSettings:
    mqtt = config.mqtt
    settings = MqttSettings(
        base_topic=mqtt.base_topic or None,
        password_file=Path(mqtt.password_file) if mqtt.password_file else None,
        ca_file=Path(mqtt.ca_file) if mqtt.ca_file else None,
        cert_file=Path(mqtt.cert_file) if mqtt.cert_file else None,
        key_file=Path(mqtt.key_file) if mqtt.key_file else None,
        allow_plaintext_password=mqtt.allow_plaintext_password,
        keepalive_s=mqtt.keepalive_s,
        event_expiry_s=round(config.outbox.max_age_days * DAY_S),
        discovery=mqtt.discovery,
        has_snapshot=mqtt.snapshot,
    )
    return SinkSettings(device=config.device.name, mqtt=settings, info=about)


def info(detector: Detector, classifier: Classifier) -> dict[str, str | int]:
    """What the ``info`` topic says of this installation; nothing secret."""
    return {
        "version": __version__,
        "schema": SCHEMA_VERSION,
        "model": classifier.model,
        "detector": detector.name,
        "runtime": classifier.runtime,
        "hardware": hardware(),
        "os": os_name(),
    }


def hardware() -> str:
    """The board's own name where the device tree has one, else the machine type."""
    try:
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    except OSError:
        return platform.machine()


def os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()
