"""Whatever a broker sends in whatever state: no crash, no busy loop, no growth; and once it is in its right mind, a
subscriber holds every event once, in order."""

from __future__ import annotations

import gc
import itertools
import logging
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.errors import Undelivered
from tests.edge.sinks.brokers import CONNECT, Wire, protocol_of, relay, stub
from tests.edge.sinks.test_jsonl import some_events
from tests.edge.sinks.test_mqtt import QUICK, sink_to
from tests.mosquitto import Broker, Subscriber, find_mosquitto, subscribed, wait_until
from tests.mutations import COUNTS, SEED, SPOILERS
from tests.mutations.packets import FAR_ID, STATUS, drawn

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

STATES: Final = ("before CONNACK", "after CONNACK", "in a flow")
HASTY: Final = replace(
    QUICK, connect_timeout_s=0.3, ack_timeout_s=0.3, retry_min_s=0.001, retry_max_s=0.002, refused_retry_s=0.002
)
HOLD_S: Final = 0.02
FLOW_S: Final = 0.1  # until a flow is under way
STAYS_S: Final = 1.5
BUSY_SHARE: Final = 0.08  # of a processor, of which a thread that spins takes all that others leave; 0.01 is usual
GROWTH_BYTES: Final = 300_000  # in the second half: a connection or two at work, which come and go


class Unsound:
    """Sends one malformed packet a connection, in a state drawn for it; after ``count`` of them it is a real broker.

    hold_s: for how long it then keeps the connection open, should the client not leave.
    """

    def __init__(self, broker: Broker, count: int, seed: int, hold_s: float = HOLD_S) -> None:
        self.count = 0
        self.states = dict.fromkeys(STATES, 0)
        self.last = ""
        self._broker, self._most, self._hold_s = broker, count, hold_s
        self._draw = random.Random(seed)

    @property
    def is_sane(self) -> bool:
        return self.count >= self._most

    def talk(self, wire: Wire) -> None:
        state = self._draw.choice(STATES)
        if self.is_sane:
            relay(wire, self._broker.port, lambda answer: answer)
        elif state == "in a flow":
            ends = threading.Timer(self._hold_s + FLOW_S, wire.hang_up)
            ends.start()
            relay(wire, self._broker.port, self._spoiling(self._draw.randrange(1, 7)))
            ends.cancel()
        else:
            first = wire.read()
            if first and first[0] == CONNECT and state == "after CONNACK":
                wire.send(bytes((0x20, 3, 0, 0, 0)) if protocol_of(first[1]) == 5 else bytes((0x20, 2, 0, 0)))
            wire.send(self._malformed(state))
            wire.settle(self._hold_s)

    def _malformed(self, state: str) -> bytes:
        packet = drawn(self._draw)
        self.last = f"{state}: {packet[:200]!r}"
        self.states[state] += 1
        self.count += 1
        return packet

    def _spoiling(self, due: int) -> Callable[[bytes], bytes]:
        """Behind the broker's packet number ``due``; what comes later goes through again."""
        numbers = itertools.count(1)
        return lambda packet: packet + self._malformed("in a flow") if next(numbers) == due else packet


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    one = Broker(tmp_path).start()
    yield one
    one.kill()


@pytest.fixture
def quiet() -> Iterator[None]:
    """pytest keeps every line that is logged, which would be taken for a leak."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("count", COUNTS)
def test_malformed_packets_in_every_state_cost_no_event_and_no_memory(count: int, broker: Broker) -> None:
    assert count < FAR_ID
    unsound, before = Unsound(broker, count, SEED), 0
    events = some_events(count)
    held = dict.fromkeys((payload for _, payload in events), False)
    with stub(unsound.talk) as port, subscribed(broker.port, "mask-edge/door/event") as subscriber:
        sink = sink_to(port, HASTY)
        for number, (event, payload) in enumerate(events):
            if number == count // 2:
                tracemalloc.start()
                before = traced_bytes()
            wait_until(lambda n=number: unsound.count >= n, f"malformed packet {number}", 60)  # type: ignore[misc]
            assert sink._thread.is_alive(), unsound.last
            sink.publish(event, payload)
            hold(held, subscriber)
        wait_until(lambda: sink.waiting == 0, "all acknowledged", 60)
        wait_until(lambda: hold(held, subscriber), "all received")
        grown = traced_bytes() - before
        tracemalloc.stop()
        sink.close(10)
    with subscribed(broker.port) as late:
        assert late.wait_for(1, "/availability") == [b"offline"]
    assert min(unsound.states.values()) > count / 10
    assert grown < GROWTH_BYTES, f"{grown} bytes more"


def hold(held: dict[bytes, bool], subscriber: Subscriber) -> bool:
    """Keep what came, in order, each once: nothing of it is kept for longer than this, or it would count as growth."""
    while subscriber.received:
        payload = subscriber.received.pop(0).payload
        before = list(held).index(payload)
        assert all(itertools.islice(held.values(), before)), f"before those up to {before}: {payload!r}"
        held[payload] = True
    return all(held.values())


OVERLOOKED: Final = {
    "an acknowledgement of nothing": b"\x40\x02\xf0\x00",
    "an answer to no ping": b"\xd0\x00",
    "half a packet": b"\x30\x7f\x00\x05home",
    "a packet without an end": b"\x30\xff\xff\xff\x7f",
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("malformed", OVERLOOKED.values(), ids=OVERLOOKED)
def test_a_broker_that_says_something_odd_and_stays_is_waited_for_and_not_spun_upon(malformed: bytes) -> None:
    held: list[float] = []

    def stays(wire: Wire) -> None:
        first = wire.read()
        assert first
        wire.send(bytes((0x20, 3, 0, 0, 0)) if protocol_of(first[1]) == 5 else bytes((0x20, 2, 0, 0)))
        wire.send(malformed)
        began_s = time.monotonic()
        wire.settle(STAYS_S)
        held.append(time.monotonic() - began_s)

    with stub(stays) as port:
        cpu_s = time.process_time()
        sink = sink_to(port)
        sink.publish(*some_events(1)[0])
        wait_until(lambda: bool(held), "the broker has had enough", 60)
        cpu_s = time.process_time() - cpu_s
        with pytest.raises(Undelivered):
            sink.close(0)
    assert held[0] >= STAYS_S
    assert cpu_s / STAYS_S < BUSY_SHARE


@pytest.mark.parametrize("count", COUNTS)
def test_whatever_is_said_or_retained_on_home_assistants_topic_is_counted_and_costs_nothing(
    count: int, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    draw, events = random.Random(SEED + 2), some_events(50)
    talker = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    talker.connect("127.0.0.1", broker.port)
    talker.loop_start()
    talker.publish(STATUS.decode(), b"\xff" * 100, qos=1, retain=True).wait_for_publish(10)
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        subscriber.wait_for(1, "/config")
        wait_until(lambda: sink.ignored == 0 and sink._session is not None, "online")
        said = [spoilt_word(draw) for _ in range(count)]
        for word in said:
            talker.publish(STATUS.decode(), word, qos=1, retain=draw.random() < 0.5).wait_for_publish(10)
        for event, payload in events:
            sink.publish(event, payload)
        assert subscriber.wait_for(50, "/event") == [payload for _, payload in events]
        due = sum(word not in (b"online", b"offline") and len(word) < 4000 for word in said)
        wait_until(lambda: sink.ignored == due, f"{due} counted")
        sink.close(5)
    talker.disconnect()
    talker.loop_stop()
    assert len([one for one in caplog.records if one.name.startswith("edge") and one.levelno >= logging.WARNING]) == 1


def spoilt_word(draw: random.Random) -> bytes:
    """Of what Home Assistant says; now and then more than we take: 4,096 bytes with all that is around it."""
    word = draw.choice((b"online", b"offline", b'{"state":"online"}', b""))
    for _ in range(draw.randrange(3)):
        word = draw.choice(SPOILERS)(word, draw)
    return word + draw.randbytes(draw.choice((0, 0, 0, 3000, 6000)))
