"""Brokers that misbehave, between the sink and a real one: after each, a receiver holds every event once, in order."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import paho.mqtt.publish as publish_once
import pytest

from edge.errors import Undelivered
from edge.events import Event
from edge.sinks.mqtt import MqttSink
from edge.sinks.notices import Notice
from tests.edge.sinks.brokers import CONNECT, PUBACK, Wire, protocol_of, relay, stub
from tests.edge.sinks.test_jsonl import some_events
from tests.edge.sinks.test_mqtt import QUICK, once, running, sink_to
from tests.mosquitto import Broker, find_mosquitto, subscribed, wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

EVENTS = 400
HASTY = replace(QUICK, connect_timeout_s=0.3, ack_timeout_s=0.3)
STATE = Notice("mask-edge/door/state", b'{"present":1}')


@dataclass
class Fault:
    """What the stub does to connection ``n`` (from 0) with packet ``m`` of the broker's; see ``relay``."""

    answer: Callable[[int, int, bytes], bytes | None]
    connections: int = 0
    proceed: threading.Event = field(default_factory=threading.Event)

    def talk(self, wire: Wire, broker_port: int) -> None:
        if not self.proceed.wait(10):
            return
        number, self.connections = self.connections, self.connections + 1
        packets = iter(range(10**9))
        relay(wire, broker_port, lambda packet: self.answer(number, next(packets), packet))


def is_ack(packet: bytes) -> bool:
    return packet[0] == PUBACK


def never_answers(number: int, _m: int, packet: bytes) -> bytes | None:
    return b"" if number < 4 else packet


def never_acknowledges(number: int, _m: int, packet: bytes) -> bytes | None:
    return b"" if number < 3 and is_ack(packet) else packet


def acknowledges_and_drops(number: int, m: int, packet: bytes) -> bytes | None:
    return None if number < 25 and m >= 10 else packet


def sends_garbage(number: int, m: int, packet: bytes) -> bytes | None:
    return packet + os.urandom(64) if number < 15 and m >= 10 else packet


def acknowledges_what_was_not_sent(_number: int, _m: int, packet: bytes) -> bytes | None:
    return packet + bytes((PUBACK, 2, 0xEA, 0x60)) if is_ack(packet) else packet


@contextmanager
def between(broker: Broker, fault: Fault) -> Iterator[int]:
    fault.proceed.set()
    with stub(lambda wire: fault.talk(wire, broker.port)) as port:
        yield port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path, "allow_anonymous true") as one:
        yield one


@pytest.mark.parametrize(
    "answer",
    [never_answers, never_acknowledges, acknowledges_and_drops, sends_garbage, acknowledges_what_was_not_sent],
    ids=lambda answer: answer.__name__,
)
def test_every_event_once_in_order_and_the_availability_is_right(
    answer: Callable[[int, int, bytes], bytes | None], broker: Broker
) -> None:
    fault = Fault(answer)
    events = some_events(EVENTS)
    with between(broker, fault) as port, subscribed(broker.port) as subscriber:
        sink = sink_to(port, HASTY)
        sink.retain(STATE)
        for event, payload in events:
            sink.publish(event, payload)
        wait_until(lambda: sink.waiting == 0, "all acknowledged", 30)
        wait_until(lambda: len(once(subscriber.payloads("/event"))) == EVENTS, "all received")
        assert once(subscriber.payloads("/event")) == [payload for _, payload in events]
        with subscribed(broker.port) as late:
            assert late.wait_for(1, "/availability") == [b"online"]
            assert late.wait_for(1, "/state") == [STATE.payload]
        sink.close(10)
        with subscribed(broker.port) as late:
            assert late.wait_for(1, "/availability") == [b"offline"]


def test_a_broker_that_restarts_empty_gets_every_event_and_every_notice(broker: Broker) -> None:
    fault = Fault(lambda _n, _m, packet: packet)
    events = some_events(EVENTS)
    received: list[bytes] = []
    with between(broker, fault) as port:
        sink = sink_to(port, HASTY)
        sink.retain(STATE)
        for start in range(0, EVENTS, 100):
            with subscribed(broker.port) as subscriber:
                fault.proceed.set()
                for event, payload in events[start : start + 100]:
                    sink.publish(event, payload)
                wait_until(lambda: sink.waiting == 0, "acknowledged")
                received += once(subscriber.wait_for(100, "/event"))
                assert subscriber.wait_for(1, "/availability")[-1] == b"online"
                assert set(subscriber.wait_for(1, "/state")) == {STATE.payload}  # a busy machine may connect twice
                assert subscriber.wait_for(1, "/info")
                assert subscriber.wait_for(1, "/config")
            fault.proceed.clear()  # until a subscriber is there again: who is not there gets nothing, from any broker
            broker.kill()
            broker.start()
        fault.proceed.set()
        sink.close(10)
    assert once(received) == [payload for _, payload in events]


# What others publish where we listen


def says(broker: Broker, payload: bytes, *, retain: bool = False) -> None:
    publish_once.single("homeassistant/status", payload, qos=1, retain=retain, hostname="127.0.0.1", port=broker.port)


@pytest.mark.parametrize("retain", [False, True])
def test_nothing_said_on_home_assistants_topic_harms_us(
    retain: bool, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    says(broker, os.urandom(3000), retain=True)
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        wait_until(lambda: sink._session is not None, "online")
        subscriber.wait_for(1, "/config")
        for payload in (b"", b"\xff\xfe", b"Online", b"online" * 500, b'{"state":"online"}', os.urandom(5_000_000)):
            says(broker, payload, retain=retain)
        events = some_events(50)
        for event, payload in events:
            sink.publish(event, payload)
        assert subscriber.wait_for(50, "/event") == [payload for _, payload in events]
        wait_until(lambda: sink.ignored == 5, "five that came through, and are counted")  # five million bytes do not
        sink.close(5)
    [told] = [r.getMessage() for r in caplog.records if r.name.startswith("edge") and r.levelno >= logging.WARNING]
    assert "neither online nor offline" in told


def test_memory_stays_flat_over_thousands_of_events_and_hundreds_of_lost_connections(broker: Broker) -> None:
    fault = Fault(lambda _n, m, packet: None if m >= 20 else packet)
    events = some_events(3000)
    with between(broker, fault) as port:
        sink = sink_to(port, replace(HASTY, retry_min_s=0.001, retry_max_s=0.002))
        logging.disable()  # pytest keeps every line
        tracemalloc.start()
        try:
            deliver(sink, events[:1000])
            before = traced_bytes()
            deliver(sink, events[1000:])
            grown = traced_bytes() - before
        finally:
            tracemalloc.stop()
            logging.disable(logging.NOTSET)
        sink.close(5)
    assert fault.connections > 150
    assert grown < 50_000, f"{grown} bytes more after 2,000 events over {fault.connections} connections"


def deliver(sink: MqttSink, events: list[tuple[Event, bytes]]) -> None:
    for event, payload in events:
        sink.publish(event, payload)
    wait_until(lambda: sink.waiting == 0, "all acknowledged", 50)


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_malformed_packets_by_the_thousand_neither_end_nor_busy_the_sender() -> None:
    """Every kind of packet, cut, stretched and shuffled, after a good answer to the login."""
    draw = random.Random(20261125)
    sent = 0

    def malformed(wire: Wire) -> None:
        nonlocal sent
        packet = wire.read()
        if packet and packet[0] == CONNECT:
            wire.send(bytes((0x20, 3, 0, 0, 0)) if protocol_of(packet[1]) == 5 else bytes((0x20, 2, 0, 0)))
        sent += 1
        wire.send(bytes((draw.randrange(256), draw.randrange(256))) + draw.randbytes(draw.randrange(120)))
        wire.settle(0.005)

    with stub(malformed) as port:
        sink = sink_to(port, replace(HASTY, retry_min_s=0.001, retry_max_s=0.002))
        sink.publish(*some_events(1)[0])
        began_s = time.process_time()
        wait_until(lambda: sent >= 1000, "a thousand malformed packets", 50)
        assert sink._thread.is_alive()
        assert time.process_time() - began_s < 30
        with pytest.raises(Undelivered, match="1 events"):
            sink.close(0)


# Sessions and expiry


def test_the_session_ends_with_the_connection_and_packets_to_us_are_limited() -> None:
    properties: list[bytes] = []

    def listens(wire: Wire) -> None:
        packet = wire.read()
        if packet:
            properties.append(packet[1][10:])

    with stub(listens) as port:
        sink = sink_to(port)
        wait_until(lambda: bool(properties), "a login")
        sink.close(0)
    assert b"\x11\x00\x00\x00\x00" in properties[0]  # session expiry interval 0
    assert b"\x27\x00\x00\x10\x00" in properties[0]  # maximum packet size 4096


def test_an_event_expires_at_the_broker_as_it_would_in_the_outbox(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port, replace(QUICK, event_expiry_s=3600))
        sink.publish(*some_events(1)[0])
        subscriber.wait_for(1, "/event")
        sink.close(5)
        [expiry_s] = [message.expiry_s for message in subscriber.received if message.topic.endswith("/event")]
        assert expiry_s is not None
        assert 3590 <= expiry_s <= 3600
        assert json.loads(subscriber.payloads("/event")[0])["seq"] == 1
