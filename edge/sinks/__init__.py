"""Where events go: ``jsonl:PATH``, ``jsonl:-`` (stdout), ``mqtt://[user@]host[:port]``, ``mqtts://...``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.discovery import discovery
from edge.errors import ConfigError, UsageError
from edge.outbox import Outbox
from edge.passwords import masked
from edge.sinks.notices import Notice
from edge.sinks.settings import Broker, MqttSettings, PictureSink, Sink, SinkSettings
from edge.sinks.state import StateSink
from edge.sinks.tally_file import FILE
from edge.topics import default_base, info_topic, state_topic

__all__ = [
    "Broker",
    "MqttSettings",
    "PictureSink",
    "Sink",
    "SinkSettings",
    "check_sink",
    "check_sinks",
    "info_notice",
    "is_broker",
    "open_sink",
    "open_sinks",
]


def check_sink(spec: str, settings: SinkSettings) -> None:
    """Say what is wrong with a sink before anything is opened: its kind, its address, password and certificates.

    Nothing is created and nobody is dialled. settings: ``info`` may still be empty. Raises what ``open_sink`` does.
    """
    if _kind(spec) == "jsonl":
        from edge.sinks.jsonl import checked

        checked(_target(spec))
    else:
        from edge.sinks.mqtt import line_to  # here, so that a run without a broker needs no MQTT library

        line_to(spec, settings)


def check_sinks(specs: Sequence[str], settings: SinkSettings) -> None:
    """Every sink of a run, as ``check_sink`` does; none of them twice, and one broker at most.

    An event leaves the outbox when *the* broker has it; what two have taken would have to be counted for each.
    """
    for index, spec in enumerate(specs):
        check_sink(spec, settings)
        if spec in specs[:index]:
            raise ConfigError(f"sink {masked(spec)} is named twice and would get every event twice", "name it once")
    brokers = [masked(spec) for spec in specs if is_broker(spec)]
    if len(brokers) > 1:
        raise ConfigError(f"sinks {' and '.join(brokers)} are two brokers", "name one, and let it bridge to the other")


def is_broker(spec: str) -> bool:
    return _kind(spec) != "jsonl"


def open_sink(spec: str, settings: SinkSettings, outbox: Outbox | None = None) -> Sink:
    """The sink that ``--sink spec`` names, ready to take events. outbox: what a broker is fed from; it needs one.

    Raises UsageError or ConfigError for a spec that cannot be meant, OutputError for a file that cannot be made. A
    broker need not be there: events wait for it.
    """
    if _kind(spec) == "jsonl":
        from edge.sinks.jsonl import JsonlSink

        return JsonlSink(_target(spec))
    from edge.sinks.mqtt import MqttSink, line_to

    line = line_to(spec, settings)
    if outbox is None:
        raise ValueError(f"{line.address} needs an outbox")
    sink = MqttSink(line, outbox)
    sink.retain(info_notice(line.base_topic, settings.info))
    if line.discovery_topic is not None:
        has_snapshot = settings.mqtt.has_snapshot
        about = discovery(settings.device, line.base_topic, settings.info, has_snapshot=has_snapshot)
        sink.retain(Notice(line.discovery_topic, about))
    return sink


def info_notice(base_topic: str, info: Mapping[str, str | int]) -> Notice:
    """What this installation is, for ``.../info``."""
    return Notice(info_topic(base_topic), json.dumps(dict(info), separators=(",", ":")).encode())


def open_sinks(spec: str, settings: SinkSettings, outbox: Outbox | None, folder: Path) -> list[Sink]:
    """``open_sink``, and for a broker what keeps ``.../state`` on it. folder: where today's counts are kept."""
    sink = open_sink(spec, settings, outbox)
    if not is_broker(spec):
        return [sink]
    from edge.sinks.mqtt import MqttSink

    assert isinstance(sink, MqttSink)
    topic = state_topic(settings.mqtt.base_topic or default_base(settings.device))
    return [sink, StateSink(lambda payload: sink.retain(Notice(topic, payload)), folder / FILE)]


def _kind(spec: str) -> str:
    kind, colon, _ = spec.partition(":")
    if colon and kind.lower() in ("jsonl", "mqtt", "mqtts"):
        return kind.lower()
    raise UsageError(f"unknown sink {masked(spec)!r}", "use jsonl:PATH, jsonl:- or mqtt://[user@]host[:port]")


def _target(spec: str) -> str:
    return spec.partition(":")[2]
