"""Home Assistant finds the device by itself, and again when it has started anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.publish as publish_once
import pytest

from edge.discovery import discovery
from tests.edge.sinks.test_mqtt import INFO, QUICK, guarded, log_lines, running, sink_to
from tests.mosquitto import Broker, find_mosquitto, subscribed, wait_until

CONFIG = "homeassistant/device/mask-edge-door/config"
needs_broker = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


def told(**kwargs: Any) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(discovery("door", None, INFO, **{"has_snapshot": False, **kwargs}))
    return payload


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path, "allow_anonymous true", "log_type all") as one:
        yield one


@pytest.fixture
def quick_birth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sinks.mqtt_session.BIRTH_DELAY_S", (0.05, 0.2))


def born(broker: Broker, payload: str = "online") -> None:
    publish_once.single("homeassistant/status", payload, hostname="127.0.0.1", port=broker.port)


def test_every_entity_has_a_name_and_an_id_of_its_own() -> None:
    entities = told(has_snapshot=True)["components"].values()
    assert all(entity["name"] for entity in entities)
    assert len({entity["unique_id"] for entity in entities}) == len(entities)
    assert all(entity["unique_id"].startswith("mask-edge-door-") for entity in entities)


def test_what_reads_health_expires_with_it_and_what_reads_the_state_does_not() -> None:
    by_topic = {
        topic: [e.get("expire_after") for e in told()["components"].values() if e["state_topic"].endswith(topic)]
        for topic in ("/health", "/state")
    }
    assert set(by_topic["/health"]) == {120}
    assert set(by_topic["/state"]) == {None}


def test_another_base_topic_is_where_the_entities_look() -> None:
    payload = json.loads(discovery("door", "site/lobby", INFO, has_snapshot=False))
    topics = {entity["state_topic"] for entity in payload["components"].values()} | {payload["availability_topic"]}
    assert topics == {"site/lobby/state", "site/lobby/health", "site/lobby/availability"}


def test_there_is_no_picture_to_be_found_unless_it_is_switched_on() -> None:
    assert "private" not in json.dumps(told())
    assert told(has_snapshot=True)["components"]["snapshot"]["image_topic"] == "mask-edge-private/door/snapshot"


def test_it_holds_nothing_that_the_info_topic_does_not_say() -> None:
    device, origin = told()["device"], told()["origin"]
    assert device == {
        "identifiers": ["mask-edge-door"],
        "name": "door",
        "manufacturer": "mask-edge",
        "model": "mask-edge",
        "hw_version": "",
        "sw_version": INFO["version"],
    }
    assert origin == {"name": "mask-edge", "sw_version": INFO["version"]}


@needs_broker
def test_it_is_retained_on_the_topic_where_home_assistant_looks(broker: Broker) -> None:
    sink = sink_to(broker.port)
    with subscribed(broker.port, CONFIG) as late:
        assert json.loads(late.wait_for(1, "/config")[0])["availability_topic"] == "mask-edge/door/availability"
    sink.close(5)
    with subscribed(broker.port, CONFIG) as after:
        assert after.wait_for(1, "/config")  # the device is offline, not gone
        assert after.received[0].is_retained


@needs_broker
@pytest.mark.usefixtures("quick_birth")
def test_it_is_said_again_once_when_home_assistant_starts(broker: Broker) -> None:
    with subscribed(broker.port, CONFIG) as subscriber:
        sink = sink_to(broker.port)
        subscriber.wait_for(1, "/config")
        born(broker, "offline")
        for _ in range(5):
            born(broker)
        again = subscriber.wait_for(2, "/config")
        assert "mask-edge-door 0 homeassistant/status" in broker.log()  # the one subscription, by the broker's words
        born(broker)
        assert subscriber.wait_for(3, "/config") == [again[0]] * 3
        sink.close(5)
    assert sink.ignored == 0


@needs_broker
def test_switched_off_nothing_is_said_there_and_nothing_is_heard(broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        sink = sink_to(broker.port, replace(QUICK, discovery=False))
        subscriber.wait_for(1, "/info")
        born(broker)
        sink.close(5)
        subscriber.wait_for(2, "/availability")
        assert subscriber.payloads("/config") == []
    assert "mask-edge-door 0 homeassistant/status" not in broker.log()


@needs_broker
def test_rules_that_refuse_it_are_told_once_and_events_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = "user door\ntopic write mask-edge/door/#\nuser dashboard\ntopic read mask-edge/#\n"
    with guarded(tmp_path, rules) as (one, settings):
        sink = sink_to(one.port, settings, user="door@")
        wait_until(lambda: len(log_lines(caplog)) >= 1, "a word about it")
        sink.close(5)
    assert any(re.search(r"takes nothing on homeassistant/device/mask-edge-door/config", x) for x in log_lines(caplog))
    assert sink.waiting == 0
