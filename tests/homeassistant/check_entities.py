"""Home Assistant itself, its MQTT integration, a real broker, and the fake device: the entities and their states.

Run by `make test-homeassistant`, in an environment of Home Assistant's own, which knows nothing of edge.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from homeassistant.components import mqtt
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from pytest_homeassistant_custom_component.common import MockConfigEntry

ROOT: Final = Path(__file__).resolve().parents[2]
PORT: Final = int(os.environ["BROKER_PORT"])
WAIT_S: Final = 30.0
NO_VALUE: Final = (None, "unknown", STATE_UNAVAILABLE)
ENTITIES: Final = {
    "binary_sensor.fake_door_camera_problem",
    "binary_sensor.fake_door_presence",
    "binary_sensor.fake_door_problem",
    "image.fake_door_last_decision",
    "sensor.fake_door_events_waiting",
    "sensor.fake_door_frames_per_second",
    "sensor.fake_door_last_person",
    "sensor.fake_door_last_person_seen",
    "sensor.fake_door_people_present",
    "sensor.fake_door_temperature",
    "sensor.fake_door_uncertain_today",
    "sensor.fake_door_with_mask_today",
    "sensor.fake_door_without_mask_today",
}


@pytest.fixture
def device(socket_enabled: None) -> Iterator[subprocess.Popen[bytes]]:
    argv = ["--broker", f"mqtt://127.0.0.1:{PORT}", "--pause-s", "0.3", "--snapshot"]
    running = subprocess.Popen([os.environ["EDGE_PYTHON"], "-m", "demo.fake_device", *argv], cwd=ROOT)
    yield running
    running.kill()
    running.wait()


@pytest.fixture
async def said(
    hass: HomeAssistant, device: subprocess.Popen[bytes], socket_enabled: None, tmp_path: Path
) -> AsyncIterator[dict[str, Any]]:
    """Home Assistant on the broker; the latest JSON on each of the device's topics."""
    (tmp_path / "configuration.yaml").touch()
    hass.config.config_dir = str(tmp_path)
    entry = MockConfigEntry(domain="mqtt", data={"broker": "127.0.0.1", "port": PORT, "protocol": "5"})
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    latest: dict[str, Any] = {}

    def note(message: mqtt.ReceiveMessage) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        latest[kind] = json.loads(message.payload) if kind != "availability" else message.payload

    await mqtt.async_subscribe(hass, "mask-edge/fake-door/#", note)
    yield latest
    await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()


async def until(is_true: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_true():
            await asyncio.sleep(0.05)
    assert is_true(), what


def value(hass: HomeAssistant, entity_id: str) -> str | None:
    state = hass.states.get(entity_id)
    return None if state is None else state.state


def as_told(said: dict[str, Any]) -> dict[str, str]:
    """What Home Assistant must show for what the device has said last."""
    state, health = said["state"], said["health"]
    return {
        "sensor.fake_door_last_person": state["last"]["label"],
        "binary_sensor.fake_door_presence": "on" if state["present"] else "off",
        "sensor.fake_door_people_present": str(state["present"]),
        "sensor.fake_door_with_mask_today": str(state["today"]["mask"]),
        "sensor.fake_door_without_mask_today": str(state["today"]["no_mask"]),
        "sensor.fake_door_uncertain_today": str(state["today"]["uncertain"]),
        "binary_sensor.fake_door_problem": "off" if health["status"] == "ok" else "on",
        "binary_sensor.fake_door_camera_problem": "off" if health["camera"] == "ok" else "on",
        "sensor.fake_door_frames_per_second": str(health["fps"]),
        "sensor.fake_door_temperature": str(health["temperature_c"]),
        "sensor.fake_door_events_waiting": str(health["outbox"]["depth"]),
    }


async def test_the_entities_appear_as_one_device_with_the_states_that_were_told(
    hass: HomeAssistant, device: subprocess.Popen[bytes], said: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await until(lambda: set(hass.states.async_entity_ids()) >= ENTITIES, "all entities")
    await until(lambda: (said.get("state") or {}).get("today", {}).get("uncertain", 0) >= 1, "everybody came once")
    await until(lambda: value(hass, "image.fake_door_last_decision") not in NO_VALUE, "a picture")
    device.send_signal(signal.SIGSTOP)  # connected and silent: what was told last stands
    await asyncio.sleep(1)
    await hass.async_block_till_done()
    assert {entity: value(hass, entity) for entity in as_told(said)} == as_told(said)
    assert value(hass, "sensor.fake_door_last_person_seen") not in NO_VALUE

    [known] = device_registry.async_get(hass).devices.values()
    assert (known.name, known.manufacturer) == ("fake-door", "mask-edge")
    registry = entity_registry.async_get(hass)
    ours = entity_registry.async_entries_for_device(registry, known.id)
    assert {entry.entity_id for entry in ours} == ENTITIES
    assert {entry.unique_id.startswith("mask-edge-fake-door-") for entry in ours} == {True}
    bad = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR") and "mqtt" in record.name]
    assert [record.getMessage() for record in bad] == []


async def test_a_device_that_dies_is_unavailable(
    hass: HomeAssistant, device: subprocess.Popen[bytes], said: dict[str, Any]
) -> None:
    await until(lambda: value(hass, "sensor.fake_door_last_person") in ("mask", "no_mask", "uncertain"), "online")
    device.kill()
    await until(lambda: said.get("availability") == "offline", "the will")
    await hass.async_block_till_done()
    assert {value(hass, entity) for entity in ENTITIES} == {STATE_UNAVAILABLE}


async def test_the_device_tells_of_itself_again_when_home_assistant_is_born(
    hass: HomeAssistant, device: subprocess.Popen[bytes], said: dict[str, Any]
) -> None:
    told: list[bytes] = []
    topic = "homeassistant/device/mask-edge-fake-door/config"
    await until(lambda: "state" in said, "online")
    await mqtt.async_subscribe(hass, topic, lambda message: told.append(message.payload))
    await until(lambda: len(told) >= 1, "the retained one")
    await mqtt.async_publish(hass, "homeassistant/status", "online")
    before = len(told)
    await until(lambda: len(told) > before, "said again")
    assert len(set(told)) == 1
