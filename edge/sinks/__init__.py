"""Where events go: ``jsonl:PATH``, ``jsonl:-`` (stdout), ``mqtt://[user@]host[:port]``, ``mqtts://...``."""

from __future__ import annotations

from edge.errors import ConfigError
from edge.sinks.settings import MqttSettings, Sink, SinkSettings

__all__ = ["MqttSettings", "Sink", "SinkSettings", "open_sink"]


def open_sink(spec: str, settings: SinkSettings) -> Sink:
    """The sink that ``--sink spec`` names, ready to take events.

    Raises ConfigError for a spec that cannot be meant, OutputError for a file that cannot be made. A broker need not be
    there: events wait for it.
    """
    kind = spec.split(":", 1)[0]
    if kind == "jsonl" and ":" in spec:
        from edge.sinks.jsonl import JsonlSink

        return JsonlSink(spec.removeprefix("jsonl:"))
    if kind in ("mqtt", "mqtts"):
        from edge.sinks.mqtt import MqttSink  # here, so that a run without a broker needs no MQTT library

        return MqttSink(spec, settings)
    raise ConfigError(f"unknown sink {_shown(spec)!r}: use jsonl:PATH, jsonl:- or mqtt://[user@]host[:port]")


def _shown(spec: str) -> str:
    """The spec without what may be a password: a mistyped scheme must not print one."""
    before_host, at, host = spec.rpartition("@")
    return f"{before_host.split(':', 1)[0]}:***@{host}" if at else spec
