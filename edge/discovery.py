"""What Home Assistant is told of this device, so that its entities appear by themselves. Pure; no I/O.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (Home Assistant 2024.12 and later). Names
only: values are read from the topics that are published anyway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edge.records import MASK, NO_MASK, UNCERTAIN
from edge.topics import availability_topic, default_base, health_topic, snapshot_topic, state_topic

EXPIRE_S: Final = 120  # ``health`` comes every 30 s: after four that did not come, its entities are unavailable
PEOPLE: Final = "people"


def discovery(device: str, base_topic: str | None, info: Mapping[str, str | int], *, has_snapshot: bool) -> bytes:
    """The payload of ``homeassistant/device/mask-edge-<device>/config``. info: that of ``.../info``."""
    base = base_topic or default_base(device)
    entities = {**of_state(state_topic(base)), **of_health(health_topic(base))}
    if has_snapshot:
        entities["snapshot"] = snapshot(snapshot_topic(device))
    identity = f"mask-edge-{device}"
    payload = {
        "device": {
            "identifiers": [identity],
            "name": device,
            "manufacturer": "mask-edge",
            "model": "mask-edge",  # which bundle serves changes while we run; ``.../info`` says it
            "hw_version": str(info.get("hardware", "")),
            "sw_version": str(info.get("version", "")),
        },
        "origin": {"name": "mask-edge", "sw_version": str(info.get("version", ""))},
        "availability_topic": availability_topic(base),
        "qos": 1,
        "components": {key: {**entity, "unique_id": f"{identity}-{key}"} for key, entity in entities.items()},
    }
    return json.dumps(payload, separators=(",", ":")).encode()


def of_state(topic: str) -> dict[str, dict[str, Any]]:
    """Entities that read ``.../state``. Where there is no value yet the templates say None: unknown."""
    last = {"platform": "sensor", "state_topic": topic}
    return {
        "last_label": {
            **last,
            "name": "Last person",
            "icon": "mdi:face-mask",
            "device_class": "enum",
            "options": [MASK, NO_MASK, UNCERTAIN],
            "value_template": "{{ value_json.last.label if value_json.last else None }}",
        },
        "last_time": {
            **last,
            "name": "Last person seen",
            "device_class": "timestamp",
            "value_template": "{{ value_json.last.time if value_json.last else None }}",
        },
        "presence": {
            "platform": "binary_sensor",
            "state_topic": topic,
            "name": "Presence",
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value_json.present > 0 else 'OFF' }}",
        },
        "present": {
            **last,
            "name": "People present",
            "icon": "mdi:account-group",
            "state_class": "measurement",
            "unit_of_measurement": PEOPLE,
            "value_template": "{{ value_json.present }}",
        },
        "today_mask": today(topic, MASK, "With mask today", "mdi:face-mask"),
        "today_no_mask": today(topic, NO_MASK, "Without mask today", "mdi:face-mask-outline"),
        "today_uncertain": today(topic, UNCERTAIN, "Uncertain today", "mdi:account-question"),
    }


def today(topic: str, label: str, name: str, icon: str) -> dict[str, Any]:
    """A count that begins anew at midnight. ``total`` and not ``total_increasing``: a ``changed`` takes one away."""
    return {
        "platform": "sensor",
        "state_topic": topic,
        "name": name,
        "icon": icon,
        "state_class": "total",
        "unit_of_measurement": PEOPLE,
        "value_template": f"{{{{ value_json.today.{label} }}}}",
        "last_reset_value_template": "{{ value_json.since }}",
    }


def of_health(topic: str) -> dict[str, dict[str, Any]]:
    """Entities that read ``.../health``; unavailable once it stops coming."""
    common = {"state_topic": topic, "expire_after": EXPIRE_S, "entity_category": "diagnostic"}
    sensor = {**common, "platform": "sensor", "state_class": "measurement"}
    return {
        "problem": {
            **common,
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}",
            "json_attributes_topic": topic,
            "json_attributes_template": "{{ {'reasons': value_json.reasons | default([])} | tojson }}",
        },
        "camera_problem": {
            **common,
            "platform": "binary_sensor",
            "name": "Camera problem",
            "device_class": "problem",
            "value_template": "{{ 'OFF' if value_json.camera == 'ok' else 'ON' }}",
        },
        "fps": {
            **sensor,
            "name": "Frames per second",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "value_template": "{{ value_json.fps }}",
        },
        "temperature": {
            **sensor,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "value_template": "{{ value_json.temperature_c }}",
        },
        "outbox": {
            **sensor,
            "name": "Events waiting",
            "icon": "mdi:tray-full",
            "unit_of_measurement": "events",
            "value_template": "{{ value_json.outbox.depth }}",
        },
    }


def snapshot(topic: str) -> dict[str, Any]:
    return {"platform": "image", "name": "Last decision", "image_topic": topic, "content_type": "image/jpeg"}
