"""Shows what doors publish: an MQTT subscriber as a dashboard's author would write it; shares no code with ``edge``.

    python demo/watch.py --host localhost          # until Ctrl-C

Needs paho-mqtt only. Subscribes with QoS 1, so an event may come twice: it drops ids that it has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, TextIO

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

REMEMBERED_IDS: Final = 10_000
COLOURS: Final = {"mask": "32", "no_mask": "31", "uncertain": "33"}  # green, red, yellow


def describe(event: dict[str, Any], *, is_coloured: bool) -> str:
    """One line: when, where, who, what, how sure."""
    label = str(event["label"])
    extra = ""
    if event.get("worn") == "incorrect":
        extra = "worn wrongly"
    if "was" in event:
        extra = f"was {event['was']}"
    if "stayed_s" in event:
        extra = f"stayed {float(event['stayed_s']):.1f} s"
    shown = f"{label:<9}"
    if is_coloured and label in COLOURS:
        shown = f"\033[{COLOURS[label]}m{shown}\033[0m"
    when = str(event["time"])[11:19] + ("" if event.get("clock") == "synced" else "?")
    what = f"{event['type']:<8} {shown} p(mask) {float(event['p_mask']):.3f}  {extra}"
    return f"{when:<9} {event['device']}  person {event['person']:<3} {what}".rstrip()


class Watch:
    """Prints events as they come; ``ended`` is set when there will be no more."""

    def __init__(self, topic: str, record: Path | None, *, until_offline: bool) -> None:
        self.ended = threading.Event()
        self._topic = topic
        self._record_path = record
        self._record: TextIO | None = None
        self._until_offline = until_offline
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._is_told = False
        self._is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def attach(self, client: paho.Client) -> None:
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def _on_connect(self, client: paho.Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            print(f"watch: the broker refuses the connection: {reason}", file=sys.stderr, flush=True)
            return
        client.subscribe(self._topic, qos=1)  # again at every connection: the broker may have forgotten us

    def _on_connect_fail(self, client: paho.Client, _u: Any) -> None:
        if not self._is_told:
            print(f"watch: no broker at {client.host}:{client.port}: trying again", file=sys.stderr, flush=True)
        self._is_told = True

    def _on_subscribe(self, *_: Any) -> None:
        if self._record_path is not None and self._record is None:
            self._record = self._record_path.open("w", encoding="utf-8", buffering=1)

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        try:
            if message.topic.endswith("/event"):
                self._show(bytes(message.payload))
            elif message.topic.endswith("/availability") and not message.retain:
                self._note_availability(message)
        except (ValueError, KeyError, TypeError) as err:  # anybody may publish anything
            print(f"watch: not an event on {message.topic}: {err!r}", file=sys.stderr, flush=True)

    def _show(self, payload: bytes) -> None:
        event = json.loads(payload)
        if event["id"] in self._seen:
            return
        line = describe(event, is_coloured=self._is_coloured)
        self._seen[event["id"]] = None
        if len(self._seen) > REMEMBERED_IDS:
            self._seen.popitem(last=False)
        print(line, flush=True)
        if self._record is not None:
            self._record.write(payload.decode() + "\n")

    def _note_availability(self, message: paho.MQTTMessage) -> None:
        state = message.payload.decode()
        print(f"{'':<9} {message.topic.removesuffix('/availability')} is {state}", flush=True)
        if state == "offline" and self._until_offline:
            self.ended.set()


def parse(argv: list[str] | None) -> argparse.Namespace:
    about, example = __doc__.split("\n\n")[:2]
    parser = argparse.ArgumentParser(prog="watch", description=about, epilog=f"example: {example.strip()}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--topic", default="mask-edge/#", help="default: mask-edge/# (every door)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="also write each event's bytes as a line of FILE")
    parser.add_argument("--until-offline", action="store_true", help="end when a door says offline")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    watch = Watch(options.topic, options.record, until_offline=options.until_offline)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watch.ended.set())
    client = paho.Client(CallbackAPIVersion.VERSION2)
    watch.attach(client)
    client.connect_async(options.host, options.port)
    client.loop_start()
    watch.ended.wait()
    client.disconnect()
    client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
