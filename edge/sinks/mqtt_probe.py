"""One visit to the broker that leaves nothing behind: is it there, does its certificate hold, does it let us in?"""

from __future__ import annotations

import queue
import time
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge.sinks.mqtt_endings import Ended, How, not_reached, refusal, unanswered
from edge.sinks.mqtt_line import Line

PAUSE_S: Final = 0.05  # between two looks at the socket
CLOSED: Final = Ended(How.UNANSWERED, "it closed the connection without an answer")
VERSIONS: Final = {MQTTProtocolVersion.MQTTv5: "MQTT 5", MQTTProtocolVersion.MQTTv311: "MQTT 3.1.1"}


def probe(line: Line) -> str | Ended:
    """Log in and leave: the version of MQTT that is spoken, or why not. Waits ``connect_timeout_s`` a step at most.

    Has a client id of its own, for the daemon's would throw a running daemon off the broker; and no will, for ours
    would call it offline.
    """
    ended = Ended(How.UNANSWERED, "it does not answer (is it an MQTT broker?)")
    for version, name in VERSIONS.items():
        found = _log_in(line, version)
        if found is None:
            return name
        ended = found
        if ended.how is not How.UNANSWERED:
            break
    return ended


def _log_in(line: Line, version: MQTTProtocolVersion) -> Ended | None:
    answers: queue.SimpleQueue[ReasonCode] = queue.SimpleQueue()
    client = _client(line, version)
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.put(reason)
    said: list[str] = []  # by the socket; paho tells it nowhere else
    client.on_log = lambda _c, _u, level, text: said.append(text) if level == paho.MQTT_LOG_ERR else None
    try:
        client.connect(line.address.host, line.address.port, line.settings.keepalive_s)
    except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
        return not_reached(line.address, error)
    try:
        ended = _await(client, answers, time.monotonic() + line.settings.connect_timeout_s)
        return unanswered(line.address, said[-1] if said else "") if ended is CLOSED else ended
    finally:
        client.disconnect()


def _await(client: paho.Client, answers: queue.SimpleQueue[ReasonCode], deadline_mono_s: float) -> Ended | None:
    while time.monotonic() < deadline_mono_s:
        still_there = client.loop(PAUSE_S) == paho.MQTT_ERR_SUCCESS
        if not answers.empty():
            reason = answers.get()
            return refusal(reason) if reason.is_failure else None
        if not still_there:
            return CLOSED
    return Ended(How.UNANSWERED, "it does not answer (is it an MQTT broker?)")


def _client(line: Line, version: MQTTProtocolVersion) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{line.client_id}-check",
        protocol=version,
        reconnect_on_failure=False,
    )
    client.connect_timeout = line.settings.connect_timeout_s
    if line.address.user is not None:
        client.username_pw_set(line.address.user, line.password)
    if line.tls is not None:
        client.tls_set_context(line.tls)
    return client
