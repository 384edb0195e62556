"""What docs/mqtt.md shows is what the code says: examples, topics, and rules for a broker that really hold."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest

from edge.errors import Undelivered
from edge.events import decode, encode
from edge.topics import (
    availability_topic,
    default_base,
    discovery_topic,
    event_topic,
    health_topic,
    info_topic,
    snapshot_topic,
    state_topic,
)
from tests.edge.sinks.test_jsonl import publish
from tests.edge.sinks.test_mqtt import QUICK, log_lines, running, sink_to
from tests.mosquitto import find_mosquitto, subscribed, wait_until

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
TEXT: Final = (DOCS / "mqtt.md").read_text()
SHOWN: Final = re.findall(r"^mask-edge/front-door/(\w+) (\{.*\})$", TEXT, re.MULTILINE)
BASE: Final = default_base("<device>")


@pytest.mark.parametrize(("kind", "payload"), SHOWN, ids=[kind for kind, _ in SHOWN])
def test_each_payload_shown_is_one(kind: str, payload: str) -> None:
    schema: dict[str, Any] = json.loads((DOCS / "schema" / f"{kind}-v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(payload))


def test_state_health_and_info_are_shown() -> None:
    assert {kind for kind, _ in SHOWN} == {"state", "health", "info"}


def test_the_event_shown_is_the_codes_byte_for_byte() -> None:
    [line] = re.findall(r'^\{"v":1,.*\}$', TEXT, re.MULTILINE)
    assert encode(decode(line.encode())) == line.encode()


def test_the_table_holds_every_topic() -> None:
    topics = [made(BASE) for made in (event_topic, availability_topic, state_topic, health_topic, info_topic)]
    topics += [snapshot_topic("<device>"), discovery_topic("<device>")]
    assert re.findall(r"^\| `([^`]+/[^`]+)` \| [01] \|", TEXT, re.MULTILINE) == topics


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_the_rules_shown_let_a_door_say_everything_of_its_own_and_nothing_of_anothers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = re.search(r"```\n# /etc/mosquitto/doors.acl\n(.*?)```", TEXT, re.DOTALL)
    assert rules
    users, acl, password = (tmp_path / name for name in ("users", "acl", "password"))
    acl.write_text(rules[1])
    password.write_text("word\n")
    password.chmod(0o600)
    users.touch(0o600)
    for user in ("door", "dashboard", "homeassistant", "other"):
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, "word"], check=True, capture_output=True)
    settings = replace(QUICK, password_file=password)
    lines = ("allow_anonymous false", f"password_file {users}", f"acl_file {acl}")
    with (
        running(tmp_path, *lines) as one,
        subscribed(one.port, user="homeassistant", password="word") as everything,
        subscribed(one.port, user="dashboard", password="word") as dashboard,
    ):
        sink = sink_to(one.port, settings, user="door@")
        sent = publish(sink, 3)
        assert everything.wait_for(3, "/event") == sent
        everything.wait_for(1, "/config")
        assert dashboard.wait_for(3, "/event") == sent
        assert not [message for message in dashboard.received if "homeassistant" in message.topic]
        sink.close(5)
        assert log_lines(caplog) == []
        stranger = sink_to(one.port, settings, user="other@")  # still says that it is ``door``
        publish(stranger, 1)
        wait_until(lambda: any("takes nothing on" in line for line in log_lines(caplog)), "a refusal")
        with pytest.raises(Undelivered, match="access rules"):
            stranger.close(0.2)
        assert dashboard.payloads("/event") == sent
