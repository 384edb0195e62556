"""A door without a camera: publishes every message that a device can send, for those who write dashboards.

    python -m demo.fake_device --broker mqtt://localhost          # until Ctrl-C
    python -m demo.fake_device --broker mqtt://localhost --once   # one of each, then offline
    python -m demo.fake_device --broker mqtt://localhost --clean  # at its end nothing of it is left at the broker

The topics, the payloads and the way to the broker are the real ones (``edge.sinks``); people, health and pictures are
made up. Users, TLS and base topic are those of ``--config``, as for ``edge run``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import paho.mqtt.publish as paho_publish
from paho.mqtt import MQTTException

from edge import __version__
from edge.__main__ import Parser, seconds
from edge.board import Throttled
from edge.clock import SystemClock, clock_state
from edge.config import Config, load_config
from edge.daemon import sink_settings
from edge.errors import EdgeError, Unavailable, Undelivered, UsageError
from edge.events import SCHEMA_VERSION, EventWriter, encode
from edge.health import Facts, OutboxFacts, as_object, judge
from edge.health import encode as encode_health
from edge.outbox import open_outbox
from edge.records import Box, ImageU8, Verdict
from edge.run import Stop, stopping
from edge.sinks import Sink, SinkSettings, check_sink, is_broker, open_sinks
from edge.sinks.mqtt import MqttSink, line_to
from edge.sinks.mqtt_line import Line
from edge.sinks.notices import Notice
from edge.topics import availability_topic, default_base, health_topic, info_topic, state_topic

MODEL: Final = "mask-mnv2@3f9ac2d1e0b7"
HEALTH_EXPIRY_S: Final = 90
DRAIN_S: Final = 10.0
LOOK_S: Final = 0.2  # between looks at a wish to stop
INFO: Final[dict[str, str | int]] = {
    "version": __version__,
    "schema": SCHEMA_VERSION,
    "model": MODEL,
    "detector": "yunet",
    "runtime": "ai-edge-litert 2.1.6",
    "hardware": "Raspberry Pi 4 Model B Rev 1.5",
    "os": "Debian GNU/Linux 12 (bookworm)",
}


def round_of_people(first: int) -> list[Verdict]:
    """What four people at a door lead to: every type of event, every label, a mask put on, one worn wrongly."""
    one, two, three, four = range(first, first + 4)
    return [
        Verdict("decided", one, "mask", 0.991, 6),
        Verdict("left", one, "mask", 0.994, 23, stayed_s=3.2),
        Verdict("decided", two, "no_mask", 0.012, 7),
        Verdict("changed", two, "mask", 0.951, 31, was="no_mask"),
        Verdict("decided", three, "no_mask", 0.203, 9, incorrect=True),
        Verdict("left", two, "mask", 0.951, 44, stayed_s=8.6),
        Verdict("left", three, "no_mask", 0.203, 17, stayed_s=2.9),
        Verdict("decided", four, "uncertain", 0.48, 40),
        Verdict("left", four, "uncertain", 0.48, 40, stayed_s=6.1),
    ]


def health(waiting: int, uptime_s: float, *, is_ok: bool) -> bytes:
    """What a device says, by the code of a device; every other time with a camera that gives nothing."""
    facts = Facts(
        camera="ok" if is_ok else "lost",
        fps=14.8 if is_ok else 0.0,
        frame_age_s=0.07 if is_ok else 12.4,
        outbox=OutboxFacts(waiting, oldest_s=0.0, dropped=0, lost=0),
        last_ack_s=1.2,
        model=MODEL,
        temperature_c=51.1,
        throttled=Throttled((), ()),
        clock=clock_state(SystemClock()),
        rss_mb=142.5,
        uptime_s=uptime_s,
    )
    return encode_health(as_object(judge(facts)))


class FakeDevice:
    """broker, config: as ``edge run`` takes them. folder: for its outbox, gone afterwards."""

    def __init__(self, broker: str, config: Config, folder: Path) -> None:
        self._outbox = open_outbox(folder)
        device, settings = config.device.name, sink_settings(config, INFO)
        self._writer = EventWriter(device, config.camera.name, MODEL, epoch=self._outbox.epoch)
        self._health_topic = health_topic(settings.mqtt.base_topic or default_base(device))
        self._has_snapshot = settings.mqtt.has_snapshot
        self._began_s = time.monotonic()
        self._persons = 0
        self._sinks: list[Sink] = []
        check_sink(broker, settings)
        self._spec, self._settings = broker, settings
        if not is_broker(broker):
            raise UsageError(f"{broker} is no broker: give --broker mqtt://[user@]host[:port]")
        self._leave_one_waiting()
        self._open(broker, settings, folder)

    def _leave_one_waiting(self) -> None:
        """One event from before the connection: it is replayed, and says so."""
        self._persons += 1
        event = self._writer.write(Verdict("decided", self._persons, "mask", 0.97, 5), **self._seen())
        self._outbox.put(event.seq, encode(event))

    def _open(self, broker: str, settings: SinkSettings, folder: Path) -> None:
        self._sinks = open_sinks(broker, settings, self._outbox, folder)
        [self._broker] = [sink for sink in self._sinks if isinstance(sink, MqttSink)]

    def await_broker(self) -> None:
        """Until it has what waited, for a few seconds; a broker that is away gets everything later, but pictures."""
        deadline = time.monotonic() + DRAIN_S
        while self._broker.waiting and time.monotonic() < deadline:
            time.sleep(0.05)

    def play(self) -> Iterator[None]:
        """One round; yields after each thing published."""
        for number, verdict in enumerate(round_of_people(self._persons + 1)):
            event = self._writer.write(verdict, **self._seen())
            if verdict.kind == "decided" and self._has_snapshot:
                self._broker.show(event, drawn_face(verdict))
            for sink in self._sinks:
                sink.publish(event, encode(event))
            self.tell_health(is_ok=number != 4)
            yield
        self._persons += 4

    def tell_health(self, *, is_ok: bool) -> None:
        said = health(self._outbox.waiting, time.monotonic() - self._began_s, is_ok=is_ok)
        self._broker.retain(Notice(self._health_topic, said, HEALTH_EXPIRY_S))

    def close(self) -> None:
        for sink in self._sinks:
            sink.close(DRAIN_S)
        self._outbox.close()

    @property
    def line(self) -> Line:
        return line_to(self._spec, self._settings)

    def _seen(self) -> dict[str, Any]:
        t_s = time.monotonic() - self._began_s
        return {"box": Box(412, 96, 88, 88), "frame": round(t_s * 15), "t_s": t_s, "utc_s": time.time()}


def take_back(line: Line) -> None:
    """An empty message takes the place of what the broker retains, and is not retained itself (MQTT 5, 3.3.1.3)."""
    base = line.base_topic
    topics = [availability_topic(base), state_topic(base), health_topic(base), info_topic(base), line.discovery_topic]
    user = line.address.user
    try:
        paho_publish.multiple(
            [(topic, None, 1, True) for topic in topics if topic],
            line.address.host,
            line.address.port,
            client_id=line.client_id,
            auth={"username": user, "password": line.password or ""} if user else None,
            tls=line.tls,  # type: ignore[arg-type]  # paho takes a context too, and says so
        )
    except (OSError, MQTTException) as error:
        what = f"{line.address}: what it retains could not be taken back: {error}"
        raise Unavailable(what, "play once more with --once --clean") from error


def drawn_face(verdict: Verdict) -> ImageU8:
    """Nobody's: a disc with eyes, and a mask where the label says so."""
    ys, xs = np.mgrid[-1:1:160j, -1:1:160j]
    picture = np.full((160, 160, 3), (120, 110, 100), np.uint8)
    picture[xs**2 + (ys / 1.2) ** 2 < 0.6] = (140, 180, 220)
    picture[(abs(abs(xs) - 0.3) < 0.07) & (abs(ys + 0.2) < 0.07)] = (40, 40, 40)
    if verdict.label == "mask" or verdict.incorrect:
        top = 0.35 if verdict.incorrect else 0.05
        picture[(xs**2 + (ys / 1.2) ** 2 < 0.6) & (ys > top)] = (210, 200, 140)
    return picture


def parse(argv: list[str] | None) -> argparse.Namespace:
    about, example = (__doc__ or "").split("\n\n")[:2]
    parser = Parser(prog="fake_device", description=about, epilog=f"examples:\n{example}")
    parser.add_argument("--broker", required=True, metavar="mqtt://[user@]host[:port]")
    parser.add_argument("--device", metavar="NAME", help="default: fake-door, or what --config says")
    parser.add_argument("--config", type=Path, metavar="F", help="sections device and mqtt of edge's configuration")
    parser.add_argument("--snapshot", action="store_true", help="drawn pictures, too, as with mqtt.snapshot")
    parser.add_argument("--once", action="store_true", help="end after one of each")
    parser.add_argument(
        "--clean", action="store_true", help="at the end take back what the broker retains of it, discovery too"
    )
    parser.add_argument("--pause-s", type=seconds, default=2.0, metavar="S", help="between events (default: 2)")
    return parser.parse_args(argv)


def configure(options: argparse.Namespace) -> Config:
    config = load_config(options.config) if options.config else Config()
    name = options.device or (config.device.name if options.config else "fake-door")
    mqtt = replace(config.mqtt, snapshot=config.mqtt.snapshot or options.snapshot)
    return replace(config, device=replace(config.device, name=name), mqtt=mqtt)


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("paho").setLevel(logging.CRITICAL)  # it calls the end of a connection that it closed an error
    try:
        options = parse(argv)
        with stopping() as stop, tempfile.TemporaryDirectory(prefix="mask-edge-fake-") as folder:
            device = FakeDevice(options.broker, configure(options), Path(folder))
            try:
                keep_playing(device, options, stop)
            finally:
                device.close()
            if options.clean:
                take_back(device.line)
    except Undelivered as error:
        print(
            f"fake_device: {error.what}: see that a broker is there; nothing of a played door is kept", file=sys.stderr
        )
        return error.exit_code
    except EdgeError as error:
        print(f"fake_device: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def keep_playing(device: FakeDevice, options: argparse.Namespace, stop: Stop) -> None:
    device.await_broker()
    while True:
        for _ in device.play():
            if not paused(options.pause_s, stop):
                return
        if options.once:
            return


def paused(seconds: float, stop: Stop) -> bool:
    """False where somebody asked to stop meanwhile."""
    deadline = time.monotonic() + seconds
    while not stop.signal and (left_s := deadline - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_S))
    return not stop.signal


if __name__ == "__main__":
    sys.exit(main())
