"""From a configuration to a running daemon, and everything closed again at its end."""

from __future__ import annotations

import logging
import platform
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, Self

from edge import __version__
from edge.assemble import build_pipeline, open_classifier, open_detector
from edge.attend import Attendant
from edge.board import ThisBoard
from edge.camera import keep_open
from edge.classify import Judge
from edge.config import Config
from edge.detect import Detector
from edge.drift_watch import FILE as DRIFT_FILE
from edge.drift_watch import DriftWatch
from edge.errors import EXIT_INTERRUPTED, EdgeError
from edge.events import SCHEMA_VERSION, EventWriter
from edge.heat import Heat
from edge.models.store import this_store
from edge.models.watch import TrialWatch
from edge.notify import is_service, watchdog_s
from edge.outbox import Limits, Outbox, open_outbox
from edge.passwords import read_password
from edge.picture import PictureWatch
from edge.pipeline import Pipeline
from edge.places import runtime_dir, state_dir
from edge.records import AcceleratorTrouble
from edge.reload import Hangup, Reloader, hearing_hangups
from edge.run import Outlet, Patience, closing, run, stopping
from edge.sinks import Broker, MqttSettings, SinkSettings, check_sinks, info_notice, is_broker, open_sinks
from edge.sources import CameraSettings, Pace, Source, is_camera, open_source
from edge.status import StatusFile

log = logging.getLogger(__name__)

DAY_S: Final = 86400.0


def run_daemon(config: Config, pace: Pace, reread: Callable[[], Config]) -> int:
    """Run until the source ends (0), Ctrl-C (130) or SIGTERM (0).

    reread: the configuration as it is now, for SIGHUP. Where systemd started us, a camera that is away does not end it.
    """
    forbid_core_dumps()
    is_kept = is_service() and is_camera(config.camera.source)
    with ExitStack() as guards, stopping() as stop, hearing_hangups(is_service()) as hangup:
        check_sinks(config.publish.sinks, sink_settings(config, {}))
        detector, trial = open_detector(config), trial_watch(config)
        guards.enter_context(excused(trial))
        classifier = first_classifier(config, trial, stays=is_kept)
        pipeline = build_pipeline(config, detector, classifier)
        settings = sink_settings(config, info(detector, classifier))
        first = nullcontext() if is_kept else open_camera(config, pace)
        with first as source, kept_events(config) as outbox:
            drift = drift_watch(config)
            outlet = Outlet(event_writer(config, classifier.model, outbox), witness=drift.count if drift else None)
            if trial:
                trial.serve(classifier, outlet)
            with closing(outlet, config.publish.drain_s):
                # The broker first: what a file or a pipe has been given must be in the outbox already, or a power cut
                # in between would give its number to another event.
                for spec in sorted(config.publish.sinks, key=is_broker, reverse=True):
                    outlet.sinks.extend(open_sinks(spec, settings, outbox, state_dir()))
                tell = partial(tell_classifier, outlet=outlet, broker=broker_of(outlet), detector=detector, trial=trial)
                in_use = InUse(classifier, tell)
                reloader = Reloader(config, reread, pipeline, in_use.use)
                attending = attendant(
                    config,
                    outbox,
                    pipeline,
                    outlet,
                    drift,
                    hangup=hangup,
                    reloader=reloader,
                    tend=in_use.tend,
                    trial=trial,
                )
                with in_use, attending:
                    watch = partial(
                        run,
                        pipeline=pipeline,
                        outlet=outlet,
                        patience=patience(config),
                        stop=stop,
                        watcher=attending,
                    )
                    if source is None:
                        keep_open(partial(open_camera, config, pace), watch, attending, stop)
                    else:
                        watch(source)
        return EXIT_INTERRUPTED if stop.signal == signal.SIGINT else 0


def forbid_core_dumps() -> None:
    """A core holds frames. For this process and the camera's child; systemd-coredump keeps to the limit, too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def attendant(
    config: Config,
    outbox: Outbox | None,
    pipeline: Pipeline,
    outlet: Outlet,
    drift: DriftWatch | None,
    *,
    hangup: Hangup,
    reloader: Reloader,
    tend: Callable[[], AcceleratorTrouble | None],
    trial: TrialWatch | None,
) -> Attendant:
    """Pictures and time are looked at, and frames left out for heat, where there is a camera; a file is taken as it
    is."""
    looks_out = is_camera(config.camera.source)
    return Attendant(
        pipeline,
        outlet,
        ThisBoard(),
        outbox=outbox,
        broker=broker_of(outlet),
        picture=PictureWatch() if looks_out else None,
        heat=Heat(config.camera.fps) if looks_out else None,
        drift=drift,
        deadline_s=config.camera.frame_deadline_s if looks_out else None,
        tend=tend,
        reopens=looks_out and is_service(),
        status_file=StatusFile(runtime_dir()),
        hangup=hangup,
        reloader=reloader,
        trial=trial,
    )


def drift_watch(config: Config) -> DriftWatch | None:
    """For cameras: what a file shows says nothing of this site."""
    return DriftWatch(state_dir() / DRIFT_FILE, time.monotonic) if is_camera(config.camera.source) else None


def broker_of(outlet: Outlet) -> Broker | None:
    return next((sink for sink in outlet.sinks if isinstance(sink, Broker)), None)


class InUse:
    """The classifier that judges, from one reload to the next.

    tell: is told of it whenever it is another one, or runs elsewhere than before.
    """

    def __init__(self, judge: Judge, tell: Callable[[Judge], None]) -> None:
        self._judge = judge
        self._tell = tell
        self._runtime = judge.runtime

    def use(self, judge: Judge) -> None:
        self._judge.close()
        self._judge = judge
        self._say()

    def tend(self) -> AcceleratorTrouble | None:
        trouble = self._judge.tend()
        if self._judge.runtime != self._runtime:
            self._say()
        return trouble

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._judge.close()

    def _say(self) -> None:
        self._runtime = self._judge.runtime
        self._tell(self._judge)


def trial_watch(config: Config) -> TrialWatch | None:
    """For a service whose model is the active one of this machine: nobody else's life says anything of that model."""
    return TrialWatch(this_store()) if is_service() and not config.classifier.bundle else None


@contextmanager
def excused(trial: TrialWatch | None) -> Iterator[None]:
    """An end for want of a camera, a disk, an outbox that is free: it tells nothing of the model on trial."""
    try:
        yield
    except EdgeError:
        if trial:
            trial.stop()
        raise


def first_classifier(config: Config, trial: TrialWatch | None, *, stays: bool) -> Judge:
    """A model on trial that cannot be loaded is given up on the spot."""
    if trial is None:
        return open_classifier(config, stays=stays)
    trial.start()
    try:
        return open_classifier(config, stays=stays)
    except Exception as error:  # a runtime's own word, too
        if not trial.fails(str(error)):
            raise
        return open_classifier(config, stays=stays)


def tell_classifier(
    classifier: Judge, *, outlet: Outlet, broker: Broker | None, detector: Detector, trial: TrialWatch | None
) -> None:
    """From now on events name this model, and ``.../info`` that and what runs it."""
    outlet.writer.model = classifier.model
    if trial:
        trial.serve(classifier, outlet)
    if broker:
        broker.retain(info_notice(broker.base_topic, info(detector, classifier)))


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
    # Or systemd would end us for the camera's fault: opening alone may take a third of its patience, unsaid.
    limit_s = min(config.camera.read_timeout_s, watchdog_s() / 4)
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


def info(detector: Detector, classifier: Judge) -> dict[str, str | int]:
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
