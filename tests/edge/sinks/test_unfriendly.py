"""Brokers within their rights: small packets only, no word for what is forbidden, one client to a name. Events get
through wherever they may, and what does not is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.errors import Undelivered
from edge.sinks.mqtt import MqttSink
from edge.sinks.mqtt_lessons import LEFT_OUT_S, Lessons
from edge.sinks.mqtt_session import packet_bytes
from edge.sinks.notices import Notice
from tests.edge.sinks.brokers import CONNECT, PUBLISH, Wire, relay, stub
from tests.edge.sinks.test_jsonl import publish, some_events
from tests.edge.sinks.test_mqtt import QUICK, guarded, log_lines, once, running, sink_to
from tests.mosquitto import Broker, find_mosquitto, subscribed, wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

LARGE = Notice("mask-edge/door/state", b'{"x":"' + b"y" * 2000 + b'"}')
DISCOVERY = "homeassistant/device/mask-edge-door/config"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path, "allow_anonymous true") as one:
        yield one


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [line for line in log_lines(caplog) if words in line]


# Small packets only


def test_what_is_too_large_for_the_broker_is_left_out_and_events_get_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, "allow_anonymous true", "max_packet_size 1000") as small, subscribed(small.port) as heard:
        sink = sink_to(small.port)
        sink.retain(LARGE)
        sent = publish(sink, 50)
        assert heard.wait_for(50, "/event") == sent
        assert sink.reasons == ("broker_refuses",)
        for _ in range(3):
            sink.retain(LARGE)
        sink.close(5)
        assert heard.payloads("/state") == []
        assert heard.wait_for(2, "/availability") == [b"online", b"offline"]  # on one connection
        assert "oversize" not in small.log()
    assert len(told(caplog, "mask-edge/door/state is left out: it takes packets up to 1000 bytes only")) == 1


def test_a_notice_that_fits_later_ends_the_complaint(tmp_path: Path) -> None:
    with running(tmp_path, "allow_anonymous true", "max_packet_size 1000") as small, subscribed(small.port) as heard:
        sink = sink_to(small.port, replace(QUICK, discovery=False))
        sink.retain(LARGE)
        wait_until(lambda: sink.reasons == ("broker_refuses",), "it is said")
        sink.retain(replace(LARGE, payload=b"{}"))
        heard.wait_for(1, "/state")
        wait_until(lambda: sink.reasons == (), "it is over")
        sink.close(5)


def test_an_event_that_does_not_fit_waits_and_says_so_on_a_connection_that_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, "allow_anonymous true", "max_packet_size 200") as small:
        sink = sink_to(small.port)
        publish(sink, 3)
        wait_until(lambda: bool(told(caplog, "events wait: it takes packets up to 200 bytes")), "it is said")
        assert sink.reasons == ("broker_refuses",)
        time.sleep(0.5)
        assert small.log().count("as mask-edge-door ") == 1
        with pytest.raises(Undelivered, match=r"3 events .*packets up to 200 bytes"):
            sink.close(0.2)
    assert len(told(caplog, "events wait")) == 1


@pytest.mark.parametrize("payload_bytes", [0, 90, 100, 127, 128, 16_300, 16_384])
def test_the_size_of_a_packet_is_what_paho_sends(payload_bytes: int) -> None:
    sizes: list[int] = []

    def counts(wire: Wire) -> None:
        wire.read()
        wire.send(bytes((0x20, 3, 0, 0, 0)))
        while packet := wire.read_raw():
            if packet[0] >> 4 == PUBLISH:
                sizes.append(len(packet))

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType, properties.MessageExpiryInterval = "application/json", 90
    properties.UserProperty = ("replayed", "true")
    with stub(counts) as port:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect("127.0.0.1", port)
        wait_until(lambda: client.loop(0.05) == 0 and client.is_connected(), "a login")
        for said in (None, properties):
            client.publish("door/ä", b"x" * payload_bytes, qos=1, properties=said)
        wait_until(lambda: client.loop(0.05) == 0 and len(sizes) == 2, "two packets")
        client.disconnect()
    assert sizes == [packet_bytes("door/ä", b"x" * payload_bytes, said) for said in (None, properties)]


# Forbidden without a word


def test_rules_that_forbid_discovery_keep_no_event_and_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = "user door\ntopic write mask-edge/door/#\nuser dashboard\ntopic read mask-edge/#\n"
    with guarded(tmp_path, rules) as (one, settings), subscribed(one.port, "#", "dashboard", "see") as heard:
        sink = sink_to(one.port, settings, user="door@")
        sent = publish(sink, 20)
        assert heard.wait_for(20, "/event") == sent
        wait_until(lambda: sink.reasons == ("broker_refuses",), "health tells of it")
        sink.close(5)
    assert len(told(caplog, f"takes nothing on {DISCOVERY}")) == 1
    assert one.log().count("as mask-edge-door ") == 1


@pytest.mark.parametrize(
    "forbidden",
    [DISCOVERY, "mask-edge/door/info", "mask-edge/door/availability", "homeassistant/status"],
)
def test_a_topic_that_ends_the_connection_is_given_up_and_events_get_through(
    forbidden: str, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """As EMQX does with ``deny_action = disconnect``."""
    dials = 0

    def strict(wire: Wire) -> None:
        nonlocal dials
        dials += 1
        relay(wire, broker.port, takes=lambda packet: packet[0] >> 4 == CONNECT or forbidden.encode() not in packet)

    with stub(strict) as port, subscribed(broker.port) as heard:
        sink = sink_to(port)
        sent = publish(sink, 100)
        wait_until(lambda: sink.waiting == 0, "all acknowledged", 20)
        assert once(heard.wait_for(100, "/event")) == sent
        assert "broker_refuses" in sink.reasons
        before = dials
        publish_more(sink)
        wait_until(lambda: sink.waiting == 0, "all acknowledged", 20)
        assert dials == before <= 10
        sink.close(5)
    assert told(caplog, f"{forbidden} is left out: it ends the connection when that is ")


def test_a_door_that_lost_two_connections_at_once_is_online_when_one_lasts(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was wrong with the topic: a network that comes and goes ends connections before the first answer."""
    monkeypatch.setattr("edge.sinks.mqtt_session.ONLINE_AGAIN_S", 0.5)
    dials = 0

    def shaky(wire: Wire) -> None:
        nonlocal dials
        dials += 1
        is_bad = dials <= 2
        relay(wire, broker.port, takes=lambda packet: packet[0] >> 4 == CONNECT or not is_bad)

    with stub(shaky) as port, subscribed(broker.port) as heard:
        sink = sink_to(port)
        sent = publish(sink, 10)
        assert once(heard.wait_for(10, "/event")) == sent
        wait_until(lambda: b"online" in heard.payloads("/availability"), "online", 20)
        sink.close(5)
        wait_until(lambda: heard.payloads("/availability")[-1] == b"offline", "offline", 20)


def publish_more(sink: MqttSink) -> None:
    for event, payload in some_events(110)[100:]:
        sink.publish(event, payload)


def test_a_broker_that_ends_the_connection_at_every_event_is_told_and_not_pestered(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    dials: list[float] = []

    def strict(wire: Wire) -> None:
        dials.append(time.monotonic())
        relay(
            wire, broker.port, takes=lambda packet: packet[0] >> 4 == CONNECT or b"mask-edge/door/event" not in packet
        )

    with stub(strict) as port:
        sink = sink_to(port, replace(QUICK, retry_max_s=3.0))
        publish(sink, 3)
        wait_until(lambda: bool(told(caplog, "time and again at the same event")), "it is said")
        wait_until(lambda: len(dials) >= 7, "seven dials", 30)
        pauses = [after - before for before, after in pairwise(dials)]
        assert max(pauses[-3:]) > 4 * QUICK.retry_min_s  # they grow although each login succeeds
        with pytest.raises(Undelivered, match="3 events"):
            sink.close(0)


def test_a_broker_that_was_slow_once_is_not_taken_for_an_old_one() -> None:
    lessons = Lessons(120.0)
    assert lessons.not_answered()  # nobody knows yet what it speaks
    lessons.answered()
    assert [lessons.not_answered() for _ in range(3)] == [False, False, True]  # it may have been replaced
    lessons.answered()
    assert not lessons.not_answered()


def test_what_was_left_out_is_tried_again_after_an_hour() -> None:
    now_s = 0.0
    lessons = Lessons(120.0, lambda: now_s)
    assert [lessons.suspect("a"), lessons.is_left_out("a")] == [False, False]
    assert [lessons.suspect("a"), lessons.is_left_out("a"), lessons.is_left_out("b")] == [True, True, False]
    now_s = LEFT_OUT_S + 1
    assert not lessons.is_left_out("a")
    assert [lessons.suspect("a"), lessons.is_left_out("a")] == [True, True]
    now_s *= 2
    lessons.took("a")
    assert [lessons.suspect("a"), lessons.is_left_out("a")] == [False, False]


# Two of one name


def test_two_devices_of_one_name_are_told_and_do_not_fight(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Mosquitto 2.0.11 does not say why it ends the connection."""
    settings = replace(QUICK, refused_retry_s=30.0)
    first, second = sink_to(broker.port, settings), sink_to(broker.port, settings)
    wait_until(lambda: "name_taken" in (*first.reasons, *second.reasons), "one of them knows", 20)
    [line, *_] = told(caplog, "most likely another client uses our client id mask-edge-door")
    assert "give each device a device.name of its own" in line
    before = broker.log().count("as mask-edge-door ")
    time.sleep(1.0)
    assert broker.log().count("as mask-edge-door ") - before <= 2  # at 0.02 to 0.1 s a pause it would be tens
    for sink in (first, second):
        sink.close(1)


def test_a_broker_that_tells_of_the_other_is_believed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def tells(wire: Wire) -> None:
        wire.read()
        wire.send(bytes((0x20, 3, 0, 0, 0)))
        while packet := wire.read():
            if packet[0] == PUBLISH:
                wire.send(bytes((0xE0, 1, 0x8E)))
                wire.settle(1)
                return

    with stub(tells) as port:
        sink = sink_to(port, replace(QUICK, refused_retry_s=30.0))
        wait_until(lambda: sink.reasons == ("name_taken",), "it is known")
        wait_until(lambda: bool(told(caplog, "another client uses our client id mask-edge-door")), "it is said")
        sink.close(0)


def test_a_broker_that_restarts_again_and_again_is_no_rival(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    sink = sink_to(broker.port)
    for _ in range(6):
        wait_until(lambda: sink._session is not None and sink._session.was_acknowledged, "a connection")
        broker.kill()
        wait_until(lambda: sink._session is None, "it is noticed")
        time.sleep(0.15)  # a dial at least finds nobody
        broker.start()
    assert sink.reasons == ()
    assert told(caplog, "client id") == []
    sink.close(5)


def test_a_rival_is_forgotten_when_a_connection_lasts() -> None:
    lessons = Lessons(120.0)
    for _ in range(3):
        lessons.ended(2.0, owed_nothing=True)
    assert lessons.is_rivalled
    lessons.ended(60.0, owed_nothing=True)  # as long as our own pause: the rival's turn
    assert lessons.is_rivalled
    lessons.ended(121.0, owed_nothing=True)
    assert not lessons.is_rivalled


def test_the_pause_after_a_refusal_is_jittered(caplog: pytest.LogCaptureFixture) -> None:
    def refuses(wire: Wire) -> None:
        wire.read()
        wire.send(bytes((0x20, 3, 0, 0x87, 0)))
        wire.settle(1)

    with stub(refuses) as port:
        sink = sink_to(port, replace(QUICK, refused_retry_s=2.0))
        wait_until(lambda: bool(told(caplog, "next attempt in")), "a refusal")
        assert sink.reasons == ("broker_refuses",)
        sink.close(0)
    assert 1.6 <= float(told(caplog, "next attempt in")[0].split()[-2]) <= 2.4
