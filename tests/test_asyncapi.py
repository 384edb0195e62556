"""The fake device says everything a device can say, and docs/asyncapi.yaml says the same."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from demo import fake_device
from tests.mosquitto import Broker, Received, find_mosquitto, free_port, subscribed, wait_until

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
API: Final[dict[str, Any]] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
SENT: Final = [name for name, said in API["operations"].items() if said["action"] == "send"]
KINDS: Final = {"decided", "changed", "left"}

needs_broker = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


def resolved(reference: dict[str, Any]) -> dict[str, Any]:
    """What ``$ref`` names, in this document or in a schema beside it."""
    while "$ref" in reference:
        name = reference["$ref"]
        if not name.startswith("#/"):
            return dict(json.loads((DOCS / name).read_text()))
        reference = API
        for part in name[2:].split("/"):
            reference = reference[part]
    return reference


def channel_of(operation: str) -> dict[str, Any]:
    return resolved(API["operations"][operation]["channel"])


def message_of(operation: str) -> dict[str, Any]:
    [message] = channel_of(operation)["messages"].values()
    return resolved(message)


def schema_of(operation: str) -> dict[str, Any]:
    return resolved(message_of(operation)["payload"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    """One round of the fake device with pictures, as an independent subscriber got it."""
    broker = Broker(tmp_path_factory.mktemp("broker")).start()
    argv = ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--once", "--pause-s", "0.05", "--snapshot"]
    try:
        with subscribed(broker.port) as subscriber:
            done = subprocess.run(
                [sys.executable, "-m", "demo.fake_device", *argv],
                cwd=ROOT,
                timeout=60,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            wait_until(lambda: subscriber.payloads("/availability")[-1:] == [b"offline"], "offline")
            return list(subscriber.received)
    finally:
        broker.kill()


@pytest.fixture(scope="module")
def retained(tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    """What a broker has kept of it for those who come later."""
    broker = Broker(tmp_path_factory.mktemp("broker")).start()
    try:
        argv = ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--once", "--pause-s", "0.01", "--snapshot"]
        assert fake_device.main(argv) == 0
        with subscribed(broker.port) as late:
            late.wait_for(1, "/config")
            wait_until(lambda: len(late.received) >= 5, "all that is retained")
            return list(late.received)
    finally:
        broker.kill()


def of(operation: str, received: list[Received]) -> list[Received]:
    topic = re.compile(re.escape(channel_of(operation)["address"]).replace(r"\{device\}", "fake-door"))
    return [message for message in received if topic.fullmatch(message.topic)]


@needs_broker
@pytest.mark.parametrize("operation", SENT)
def test_every_payload_is_what_the_document_says(operation: str, live: list[Received]) -> None:
    messages = of(operation, live)
    assert messages
    media_type = message_of(operation).get("contentType", API["defaultContentType"])
    for message in messages:
        if media_type == "image/jpeg":
            assert message.payload[:3] == b"\xff\xd8\xff"
            continue
        payload = json.loads(message.payload) if media_type == "application/json" else message.payload.decode()
        jsonschema.Draft202012Validator(schema_of(operation)).validate(payload)
        if media_type == "application/json":
            assert message.content_type == media_type


@needs_broker
def test_every_topic_that_is_published_stands_in_the_document(live: list[Received]) -> None:
    assert {m.topic for m in live} == {m.topic for operation in SENT for m in of(operation, live)}


@needs_broker
@pytest.mark.parametrize("operation", SENT)
def test_what_is_retained_is_what_the_document_says(operation: str, retained: list[Received]) -> None:
    assert bool(of(operation, retained)) == API["operations"][operation]["bindings"]["mqtt"]["retain"]


@needs_broker
def test_the_fake_device_says_one_of_each_kind(live: list[Received]) -> None:
    events = [json.loads(message.payload) for message in of("sendEvent", live)]
    assert {event["type"] for event in events} == KINDS
    assert {event["label"] for event in events if event["type"] == "decided"} == {"mask", "no_mask", "uncertain"}
    assert any(event.get("worn") == "incorrect" for event in events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {json.loads(message.payload)["status"] for message in of("sendHealth", live)} == {"ok", "degraded"}
    replayed = [message.user_properties for message in of("sendEvent", live)]
    assert replayed[0] == [("replayed", "true")]
    assert not any(replayed[1:])


@needs_broker
def test_there_is_one_picture_a_decision_and_it_names_it(live: list[Received]) -> None:
    decided = [json.loads(m.payload)["id"] for m in of("sendEvent", live) if b'"decided"' in m.payload][1:]
    assert [dict(message.user_properties)["event"] for message in of("sendSnapshot", live)] == decided


@needs_broker
@pytest.mark.parametrize("ending", ["by itself", "by Ctrl-C"])
def test_a_played_door_that_cleans_up_leaves_nothing_at_the_broker(tmp_path: Path, ending: str) -> None:
    broker = Broker(tmp_path).start()
    argv = ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--clean", "--pause-s", "0.05"]
    argv += ["--once"] if ending == "by itself" else []
    try:
        with subscribed(broker.port) as subscriber:
            door = subprocess.Popen([sys.executable, "-m", "demo.fake_device", *argv], cwd=ROOT)
            subscriber.wait_for(3, "/health")
            if ending == "by Ctrl-C":
                door.send_signal(signal.SIGINT)
            assert door.wait(30) == 0
            retained = {m.topic: m.payload for m in subscriber.received if not m.topic.endswith("/event")}
            assert len(retained) == 5
            wait_until(lambda: subscriber.payloads("")[-1] == b"", "the last of them is emptied")
        with subscribed(broker.port) as late, subscribed(broker.port, "$SYS/broker/version") as other:
            other.wait_for(1, "version")
            assert late.received == []
    finally:
        broker.kill()


def test_the_schemas_are_schemas() -> None:
    for path in (DOCS / "schema").glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_every_schema_refuses_what_lacks_a_field() -> None:
    for operation in ("sendEvent", "sendState", "sendHealth", "sendInfo"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema_of(operation)).validate({})


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--broker", "http://localhost"], 64, "unknown sink"),
        (["--broker", f"mqtt://127.0.0.1:{free_port()}", "--device", "Tür"], 78, "device must be"),
        (["--broker", "mqtt://a:b@localhost"], 78, "holds a password"),
    ],
)
def test_a_users_mistake_is_one_line(argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake_device.main([*argv, "--once"]) == code
    assert re.fullmatch(rf"fake_device: .*{said}.*\n", capsys.readouterr().err)


def test_a_played_door_needs_a_broker_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert fake_device.main(["--broker", "jsonl:-", "--once"]) == 64
    assert "is no broker" in capsys.readouterr().err
