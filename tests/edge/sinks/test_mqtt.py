"""Events through a real broker to a subscriber that knows nothing of edge: every one, once by id, in order."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.backoff import Backoff
from edge.errors import DiskError, Undelivered
from edge.outbox import FILE as OUTBOX_FILE
from edge.outbox import Outbox, open_outbox
from edge.sinks import MqttSettings, SinkSettings, open_sink
from edge.sinks.mqtt import MqttSink
from edge.sinks.notices import Notice
from tests.edge.sinks.brokers import CONNECT, PUBACK, PUBLISH, SUBSCRIBE, Wire, payload_of, protocol_of, stub
from tests.edge.sinks.certificates import make_authority, make_certificate
from tests.edge.sinks.test_jsonl import publish, some_events
from tests.mosquitto import Broker, find_mosquitto, free_port, subscribed, wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

ROOT = Path(__file__).parents[3]
QUICK = MqttSettings(retry_min_s=0.02, retry_max_s=0.1, refused_retry_s=0.1, connect_timeout_s=2.0)
SLOW = replace(QUICK, retry_min_s=1.0, retry_max_s=1.0)  # time for a subscriber to be there first
INFO: dict[str, str | int] = {"version": "0.1.0", "schema": 1, "model": "mask-mnv2@3f9ac2d1e0b7"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    one = Broker(tmp_path).start()
    yield one
    one.kill()


@contextmanager
def running(tmp_path: Path, *lines: str, port: int | None = None) -> Iterator[Broker]:
    one = Broker(tmp_path, lines, port).start()
    try:
        yield one
    finally:
        one.kill()


def sink_to(
    port: int, settings: MqttSettings = QUICK, scheme: str = "mqtt", user: str = "", outbox: Outbox | None = None
) -> MqttSink:
    """outbox: None is a new one in a folder that goes with the test's other files."""
    outbox = outbox if outbox is not None else open_outbox(Path(tempfile.mkdtemp(prefix="mask-edge-outbox-")))
    sink = open_sink(f"{scheme}://{user}127.0.0.1:{port}", SinkSettings("door", settings, INFO), outbox)
    assert isinstance(sink, MqttSink)
    return sink


def once(payloads: list[bytes]) -> list[bytes]:
    """As a consumer that drops repeated ids holds them."""
    return list({json.loads(payload)["id"]: payload for payload in payloads}.values())


def log_lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# The way through


def test_payloads_are_the_given_bytes_in_order_each_once(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        sent = publish(sink, 200)
        sink.close(10)
        assert subscriber.wait_for(200, "mask-edge/door/event") == sent


def test_event_is_json_by_content_type_and_not_retained(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        publish(sink, 1)
        sink.close(10)
        subscriber.wait_for(1, "/event")
        [event] = [message for message in subscriber.received if message.topic.endswith("/event")]
        assert (event.content_type, event.is_retained) == ("application/json", False)
    with subscribed(broker.port, "mask-edge/door/event") as late, subscribed(broker.port) as other:
        other.wait_for(1, "/availability")
        assert late.received == []


def test_subscriber_sees_online_then_the_events_then_offline(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        publish(sink, 2)
        sink.close(10)
        subscriber.wait_for(2, "/availability")
        topics = [message.topic.rsplit("/", 1)[1] for message in subscriber.received]
        assert topics == ["availability", "info", "config", "event", "event", "availability"]
        assert subscriber.payloads("/availability") == [b"online", b"offline"]


def test_online_and_info_are_retained_for_those_who_come_late(broker: Broker) -> None:
    sink = sink_to(broker.port)
    with subscribed(broker.port) as early:
        early.wait_for(1, "/availability")
        early.wait_for(1, "/info")
    with subscribed(broker.port) as late:
        assert late.wait_for(1, "/availability") == [b"online"]
        assert json.loads(late.wait_for(1, "/info")[0]) == INFO
        assert all(message.is_retained for message in late.received)
    sink.close(5)
    with subscribed(broker.port) as after:
        assert after.wait_for(1, "/availability") == [b"offline"]


def test_base_topic_can_be_chosen(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port, replace(QUICK, base_topic="site/lobby"))
        publish(sink, 1)
        sink.close(10)
        subscriber.wait_for(1, "site/lobby/event")


def test_run_without_events_closes_at_once_and_says_offline(broker: Broker) -> None:
    sink = sink_to(broker.port)
    with subscribed(broker.port) as subscriber:
        subscriber.wait_for(1, "/availability")
        sink.close(10)
        assert subscriber.wait_for(2, "/availability") == [b"online", b"offline"]


def test_closing_twice_is_harmless(broker: Broker) -> None:
    sink = sink_to(broker.port)
    publish(sink, 1)
    sink.close(10)
    sink.close(10)


# A device that dies


def test_killed_device_is_called_offline_by_the_broker(broker: Broker) -> None:
    code = (
        "import sys, time; from tests.edge.sinks.test_mqtt import *\n"
        "publish(sink_to(int(sys.argv[1])), 1); time.sleep(60)"
    )
    with subscribed(broker.port) as subscriber:
        child = subprocess.Popen([sys.executable, "-c", code, str(broker.port)], cwd=ROOT)
        subscriber.wait_for(1, "/event")
        child.kill()
        child.wait()
        assert subscriber.wait_for(2, "/availability") == [b"online", b"offline"]
    with subscribed(broker.port) as late:
        assert late.wait_for(1, "/availability") == [b"offline"]


# A broker that goes and comes


def test_events_wait_for_a_broker_that_is_absent_at_the_start(tmp_path: Path) -> None:
    port = free_port()
    sink = sink_to(port, SLOW)
    sent = publish(sink, 50)
    wait_until(lambda: sink._trouble is not None and "refused" in sink._trouble.why, "the first attempt failed")
    with running(tmp_path, "allow_anonymous true", port=port), subscribed(port) as subscriber:
        sink.close(10)
        assert subscriber.wait_for(50, "/event") == sent


def test_broker_that_is_killed_and_comes_back_gets_every_event_once_in_order(broker: Broker) -> None:
    sink = sink_to(broker.port, SLOW)
    events = some_events(100)
    with subscribed(broker.port) as before:
        for event, payload in events[:50]:
            sink.publish(event, payload)
        received = before.wait_for(50, "/event")
        wait_until(lambda: sink.waiting == 0, "all acknowledged")
        broker.kill()
    wait_until(lambda: sink._session is None, "the loss is noticed")
    for event, payload in events[50:]:
        sink.publish(event, payload)
    assert sink.waiting == 50
    broker.start()
    with subscribed(broker.port) as after:
        sink.close(10)
        received += after.wait_for(50, "/event")
        assert after.wait_for(2, "/availability") == [b"online", b"offline"]
    assert received == [payload for _, payload in events]


def test_connection_cut_in_the_middle_loses_nothing_and_keeps_the_order(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port)
        events = some_events(600)
        for number, (event, payload) in enumerate(events):
            sink.publish(event, payload)
            if number % 100 == 50:
                cut(sink)
        sink.close(10)
        wait_until(lambda: len(once(subscriber.payloads("/event"))) == 600, "600 events")
        assert once(subscriber.payloads("/event")) == [payload for _, payload in events]
        wait_until(lambda: subscriber.payloads("/availability")[-1] == b"offline", "offline")
        assert subscriber.payloads("/availability").count(b"online") > 1


def cut(sink: MqttSink) -> None:
    """As a network does: the socket is gone, whatever was in it. Returns when the sink has noticed."""
    wait_until(lambda: sink._session is not None, "online")
    session = sink._session
    with suppress(OSError, AttributeError):  # it may end by itself just now
        session._client.socket().shutdown(2)  # type: ignore[union-attr]
    wait_until(lambda: sink._session is not session, "the loss is noticed")


def test_broker_that_stays_away_costs_a_bounded_wait_and_is_told_with_the_number_left() -> None:
    sink = sink_to(free_port())
    publish(sink, 7)
    began_s = time.monotonic()
    with pytest.raises(Undelivered, match=r"7 events .* mqtt://127\.0\.0\.1:\d+ \(connection refused\)") as caught:
        sink.close(0.3)
    assert caught.value.exit_code == 75
    assert 0.25 < time.monotonic() - began_s < 3


def test_events_that_no_disk_took_either_are_not_said_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / OUTBOX_FILE).mkdir()  # no outbox can be made here
    sink = sink_to(free_port(), outbox=open_outbox(tmp_path))
    publish(sink, 7)
    with pytest.raises(DiskError, match=r"7 events .*, and 7 of them are lost: the disk takes none"):
        sink.close(0.1)


def test_nothing_to_deliver_needs_no_broker_at_the_end() -> None:
    began_s = time.monotonic()
    sink_to(free_port()).close(10)
    assert time.monotonic() - began_s < 1


def test_absent_broker_is_told_once_not_at_every_attempt(caplog: pytest.LogCaptureFixture) -> None:
    sink = sink_to(free_port())
    publish(sink, 1)
    with pytest.raises(Undelivered):
        sink.close(0.5)
    assert len(log_lines(caplog)) == 1
    assert "connection refused; events wait" in log_lines(caplog)[0]


def test_events_of_the_run_before_go_first_and_say_so(tmp_path: Path) -> None:
    port = free_port()
    before = open_outbox(tmp_path / "state")
    sink = sink_to(port, outbox=before)
    waited = publish(sink, 3)
    with pytest.raises(Undelivered, match=r"3 events .*go first"):
        sink.close(0.1)
    before.close()
    with running(tmp_path, "allow_anonymous true", port=port), subscribed(port) as subscriber:
        outbox = open_outbox(tmp_path / "state")
        sink = sink_to(port, outbox=outbox)
        assert subscriber.wait_for(3, "/event") == waited
        sink.publish(*some_events(4)[3])
        subscriber.wait_for(4, "/event")
        sink.close(10)
        outbox.close()
        events = [message for message in subscriber.received if message.topic.endswith("/event")]
        assert [message.user_properties for message in events] == [[("replayed", "true")]] * 3 + [[]]


def test_a_notice_is_retained_and_said_again_to_a_broker_that_forgot_it(tmp_path: Path) -> None:
    with running(tmp_path, "allow_anonymous true") as one:
        sink = sink_to(one.port)
        with subscribed(one.port) as subscriber:
            sink.retain(Notice("mask-edge/door/state", b"1"))
            sink.retain(Notice("mask-edge/door/state", b"2", expiry_s=90))
            wait_until(lambda: b"2" in subscriber.payloads("/state"), "the latest notice")
        one.kill()
        one.start()
        with subscribed(one.port) as late:
            assert late.wait_for(1, "/state") == [b"2"]
            assert json.loads(late.wait_for(1, "/info")[0]) == INFO
        sink.close(5)


def test_a_picture_that_cannot_be_made_costs_nothing_else(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    sink = sink_to(broker.port, replace(QUICK, has_snapshot=True))
    [(event, payload)] = some_events(1)
    with subscribed(broker.port) as subscriber:
        subscriber.wait_for(1, "/availability")
        wait_until(lambda: sink.last_ack_s is not None, "a connection")
        sink.show(event, np.zeros((0, 0, 3), np.uint8))
        sink.publish(event, payload)
        assert subscriber.wait_for(1, "/event") == [payload]
        sink.close(5)
    assert any("no picture of event" in line for line in log_lines(caplog))


# Who may do what


def test_user_and_password_from_a_file_let_us_in(tmp_path: Path) -> None:
    with guarded(tmp_path) as (one, settings), subscribed(one.port, user="dashboard", password="see") as subscriber:
        sink = sink_to(one.port, settings, user="door@")
        sent = publish(sink, 3)
        sink.close(10)
        assert subscriber.wait_for(3, "/event") == sent


def test_refused_login_is_told_at_once_and_clearly_and_mended_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with guarded(tmp_path) as (one, settings):
        assert settings.password_file
        settings.password_file.write_text("wrong")
        sink = sink_to(one.port, replace(settings, refused_retry_s=60), user="door@")
        publish(sink, 1)
        wait_until(lambda: bool(log_lines(caplog)), "the refusal is told")
        assert "refuses the login" in log_lines(caplog)[0]
        assert "mqtt.password_file" in log_lines(caplog)[0]
        assert 48 <= float(log_lines(caplog)[0].split()[-2]) <= 72  # a minute, with jitter
        assert "wrong" not in caplog.text
        with pytest.raises(Undelivered, match=r"1 events .*refuses the login"):
            sink.close(0.3)


def test_refused_login_is_tried_slowly(tmp_path: Path) -> None:
    with guarded(tmp_path) as (one, settings):
        sink = sink_to(one.port, replace(settings, password_file=None, refused_retry_s=60))
        wait_until(lambda: "not authorised" in one.log(), "the broker refuses")
        time.sleep(0.5)
        assert one.log().count("not authorised") == 1
        sink.close(0)


def test_event_that_the_brokers_rules_refuse_is_kept_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with guarded(tmp_path, rules="user door\ntopic write mask-edge/door/availability\n") as (one, settings):
        sink = sink_to(one.port, settings, user="door@")
        publish(sink, 1)
        wait_until(lambda: any("events wait" in line for line in log_lines(caplog)), "the refusal is told")
        with pytest.raises(Undelivered, match=r"1 events .*access rules"):
            sink.close(0.3)
    assert sum("events wait" in line for line in log_lines(caplog)) == 1


@contextmanager
def guarded(
    folder: Path, rules: str = "user door\ntopic write mask-edge/door/#\nuser dashboard\ntopic read mask-edge/#\n"
) -> Iterator[tuple[Broker, MqttSettings]]:
    """A broker with users and rules, and the settings of a device that it knows."""
    users, acl, password = (folder / name for name in ("users", "acl", "password"))
    users.touch()
    users.chmod(0o600)
    for user, word in (("door", "hunter2"), ("dashboard", "see")):
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, word], check=True, capture_output=True)
    acl.write_text(rules)
    password.write_text("hunter2\n")
    password.chmod(0o600)
    with running(folder, "allow_anonymous false", f"password_file {users}", f"acl_file {acl}") as one:
        yield one, replace(QUICK, password_file=password)


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, the certificates of a broker and of a device, and those of a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    make_authority(folder)
    make_authority(folder, "stranger")
    make_certificate(folder, "broker", "IP:127.0.0.1")
    make_certificate(folder, "elsewhere", "DNS:elsewhere.example")
    make_certificate(folder, "device", "DNS:door")
    make_certificate(folder, "foreign", "DNS:door", "stranger")
    make_certificate(folder, "expired", "IP:127.0.0.1", from_to=("20240101", "20240301"))
    make_certificate(folder, "early", "IP:127.0.0.1", from_to=("20990101", "20990301"))
    return folder


def tls_lines(authority: Path, name: str = "broker", *more: str) -> tuple[str, ...]:
    return ("allow_anonymous true", f"certfile {authority}/{name}.crt", f"keyfile {authority}/{name}.key", *more)


def test_tls_with_an_authority_of_ones_own_and_a_device_certificate(authority: Path, tmp_path: Path) -> None:
    asks = (f"cafile {authority}/ca.crt", "require_certificate true")
    settings = replace(
        QUICK,
        ca_file=authority / "ca.crt",
        cert_file=authority / "device.crt",
        key_file=authority / "device.key",
    )
    with running(tmp_path, *tls_lines(authority, "broker", *asks)) as one:
        sink = sink_to(one.port, settings, scheme="mqtts")
        publish(sink, 5)
        sink.close(10)
        assert sink.waiting == 0


@pytest.mark.parametrize(
    ("certificate", "trusted", "message"),
    [
        ("broker", "stranger.crt", "certificate is not accepted: .* name the certificate of the authority"),
        ("broker", None, "certificate is not accepted: .* name the certificate of the authority"),
        ("elsewhere", "ca.crt", "mismatch.*: write the name into the address that stands in the certificate"),
        ("expired", "ca.crt", r"has expired: renew it at the broker, .* clock \(it says 20\d\d-"),
        ("early", "ca.crt", r"is not yet valid: set this machine's clock, .* \(it says 20\d\d-"),
    ],
    ids=["wrong authority", "system's authorities only", "wrong host name", "expired", "not yet valid"],
)
def test_broker_that_cannot_prove_itself_gets_nothing(
    certificate: str,
    trusted: str | None,
    message: str,
    authority: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = replace(QUICK, ca_file=authority / trusted if trusted else None)
    with running(tmp_path, *tls_lines(authority, certificate)) as one:
        sink = sink_to(one.port, settings, scheme="mqtts")
        publish(sink, 1)
        with pytest.raises(Undelivered, match=message):
            sink.close(0.4)
    assert re.search(message, log_lines(caplog)[0])


@pytest.mark.parametrize("tls_version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (None, "asks for a certificate of this device: set mqtt.cert_file and mqtt.key_file"),
        ("foreign", "does not know who signed this device's certificate"),
        ("expired", "this device's certificate has expired"),
    ],
    ids=["none", "of a stranger", "expired"],
)
def test_a_device_certificate_that_the_broker_misses_or_refuses_is_told(
    ours: str | None,
    message: str,
    tls_version: str,
    authority: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asks = (f"cafile {authority}/ca.crt", "require_certificate true", f"tls_version {tls_version}")
    settings = replace(
        QUICK,
        ca_file=authority / "ca.crt",
        cert_file=authority / f"{ours}.crt" if ours else None,
        key_file=authority / f"{ours}.key" if ours else None,
    )
    with running(tmp_path, *tls_lines(authority, "broker", *asks)) as one:
        sink = sink_to(one.port, settings, scheme="mqtts")
        publish(sink, 1)
        wait_until(lambda: any(re.search(message, line) for line in log_lines(caplog)), message)
        with pytest.raises(Undelivered, match="certificate"):
            sink.close(0.4)
    assert len(log_lines(caplog)) <= 2  # what the network lets through differs from time to time; it is told once


def test_a_certificate_that_was_renewed_is_used_without_a_restart(
    authority: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asks = (f"cafile {authority}/ca.crt", "require_certificate true")
    own = {end: tmp_path / f"door.{end}" for end in ("crt", "key")}
    for end, file in own.items():
        shutil.copy(authority / f"expired.{end}", file)
    settings = replace(QUICK, ca_file=authority / "ca.crt", cert_file=own["crt"], key_file=own["key"])
    with running(tmp_path, *tls_lines(authority, "broker", *asks)) as one:
        sink = sink_to(one.port, settings, scheme="mqtts")
        publish(sink, 1)
        wait_until(lambda: any("has expired" in line for line in log_lines(caplog)), "the old one is refused")
        own["crt"].write_text("half a cert")  # a renewal that is not done yet
        wait_until(lambda: any("what was read before is used" in line for line in log_lines(caplog)), "it is told")
        for end, file in own.items():
            shutil.copy(authority / f"device.{end}", file)
        wait_until(lambda: sink.waiting == 0, "the new one is used", 30)
        sink.close(10)


def test_tls_to_a_plain_port_is_told(broker: Broker) -> None:
    sink = sink_to(broker.port, replace(QUICK, connect_timeout_s=1, keepalive_s=1), scheme="mqtts")
    publish(sink, 1)
    with pytest.raises(Undelivered, match="TLS"):
        sink.close(0.4)


# Brokers that misbehave


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two seconds for a broker that will not acknowledge the farewell either."""
    monkeypatch.setattr("edge.sinks.mqtt_session.FAREWELL_S", 0.1)


def test_broker_that_speaks_3_1_1_only_gets_its_events() -> None:
    versions: list[int] = []
    payloads: list[bytes] = []

    def old(wire: Wire) -> None:
        while packet := wire.read():
            kind, body = packet
            if kind == CONNECT:
                versions.append(protocol_of(body))
                is_known = versions[-1] == 4
                wire.send(bytes((0x20, 2, 0, 0 if is_known else 1)))
                if not is_known:
                    return
            elif kind == PUBLISH:
                packet_id, payload = payload_of(body)
                payloads.append(payload)
                wire.send(bytes((PUBACK, 2)) + packet_id)

    with stub(old) as port:
        sink = sink_to(port)
        sent = publish(sink, 30)
        sink.close(10)
    assert versions == [5, 4]
    assert [payload for payload in payloads if payload.startswith(b'{"v"')] == sent


@pytest.mark.parametrize("is_closing", [True, False], ids=["closes", "stays silent"])
def test_broker_that_does_not_answer_mqtt_5_is_asked_by_3_1_1(is_closing: bool) -> None:
    versions: list[int] = []

    def mute(wire: Wire) -> None:
        while packet := wire.read():
            if packet[0] == CONNECT:
                versions.append(protocol_of(packet[1]))
                if is_closing:
                    return

    with stub(mute) as port:
        sink = sink_to(port, replace(QUICK, connect_timeout_s=0.1))
        publish(sink, 1)
        wait_until(lambda: len(versions) >= 4, "four attempts")
        with pytest.raises(Undelivered, match="1 events"):
            sink.close(0)
    assert versions[:4] == [5, 4, 5, 4]


def accepting(wire: Wire, receive_maximum: int | None = None) -> None:
    """Take an MQTT 5 connection."""
    wire.read()
    properties = b"" if receive_maximum is None else b"\x21" + receive_maximum.to_bytes(2, "big")
    body = bytes((0, 0, len(properties))) + properties
    wire.send(bytes((0x20, len(body))) + body)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("granted", "expected"), [(None, 20), (3, 3), (500, 20)])
def test_unacknowledged_messages_never_exceed_our_window_or_the_brokers(granted: int | None, expected: int) -> None:
    seen: list[int] = []

    def never_acks(wire: Wire) -> None:
        accepting(wire, granted)
        while packet := wire.read():
            if packet[0] != SUBSCRIBE:
                seen.append(packet[0])

    with stub(never_acks) as port:
        sink = sink_to(port)
        publish(sink, 60)
        wait_until(lambda: len(seen) >= expected, "the window is filled")
        time.sleep(0.2)
        assert seen == [PUBLISH] * expected
        with pytest.raises(Undelivered, match="60 events"):
            sink.close(0)


@pytest.mark.usefixtures("hurried")
def test_broker_that_stops_acknowledging_is_left_and_dialled_again() -> None:
    connections: list[int] = []

    def never_acks(wire: Wire) -> None:
        accepting(wire)
        connections.append(1)
        while wire.read():
            pass

    with stub(never_acks) as port:
        sink = sink_to(port, replace(QUICK, ack_timeout_s=0.2))
        publish(sink, 1)
        wait_until(lambda: len(connections) >= 2, "a second connection")
        with pytest.raises(Undelivered, match="no acknowledgement"):
            sink.close(0)


def test_broker_that_sends_garbage_neither_ends_the_sender_nor_busies_it() -> None:
    connections: list[int] = []

    def garbage(wire: Wire) -> None:
        connections.append(1)
        wire.read()
        wire.send(os.urandom(64))

    with stub(garbage) as port:
        sink = sink_to(port, replace(QUICK, connect_timeout_s=0.2))
        publish(sink, 1)
        wait_until(lambda: len(connections) >= 6, "six attempts")
        assert len(connections) < 100
        with pytest.raises(Undelivered, match="1 events"):
            sink.close(0)


def test_threads_and_sockets_do_not_pile_up_over_reconnects(broker: Broker) -> None:
    sink = sink_to(broker.port)
    publish(sink, 1)
    wait_until(lambda: sink.waiting == 0, "delivered")
    before = held_by_us()
    for _ in range(20):
        cut(sink)
    wait_until(lambda: sink._session is not None, "online again")
    # Not more; less where the garbage of an earlier test is collected meanwhile.
    wait_until(lambda: all(now <= then for now, then in zip(held_by_us(), before, strict=True)), f"at most {before}")
    sink.close(5)


def held_by_us() -> tuple[int, int]:
    """Threads and open files."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


# Time between attempts


def test_pauses_grow_to_a_minute_with_jitter_and_start_anew() -> None:
    backoff = Backoff(1, 60)
    pauses = [[backoff.next_s() for _ in range(12)]]
    backoff.reset()
    pauses.append([backoff.next_s() for _ in range(12)])
    for row in pauses:
        assert all(1 <= pause <= min(60, 2 ** (n + 1)) for n, pause in enumerate(row))
    assert pauses[0] != pauses[1]


def test_the_age_of_the_last_acknowledgement_is_known_whatever_else_is_believed(tmp_path: Path) -> None:
    with running(tmp_path, "allow_anonymous true") as broker:
        sink = sink_to(broker.port)
        wait_until(lambda: sink.last_ack_s is not None, "the first acknowledgement")
        assert (sink.last_ack_s or 0.0) < 5
        broker.kill()
        before_s = sink.last_ack_s or 0.0
        wait_until(lambda: (sink.last_ack_s or 0.0) > before_s + 0.3, "it grows while the broker is away")
        broker.start()
        wait_until(lambda: (sink.last_ack_s or 9.0) < 0.3, "and begins anew when it is back")
        sink.close(5)


def test_a_broker_that_never_was_there_has_no_last_acknowledgement() -> None:
    sink = sink_to(free_port())
    assert sink.last_ack_s is None
    sink.close(0)
