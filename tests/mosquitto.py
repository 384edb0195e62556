"""For every test that needs a broker: a real Mosquitto on a free port, and a subscriber that knows nothing of edge."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

WAIT_S: Final = 10.0  # for what takes milliseconds on an idle machine


def find_mosquitto() -> str | None:
    """Debian puts it where the path of an ordinary user does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(is_true: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Look every few milliseconds; AssertionError that says what did not come."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


class Broker:
    """Mosquitto with what is given as its configuration; may be killed and started again on the same port.

    lines: configuration beyond the listener; none means that anybody may do anything.
    """

    def __init__(
        self, folder: Path, lines: tuple[str, ...] = ("allow_anonymous true",), port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        # user root: started by root it would change to an account that may not read the test's folder
        head = (f"listener {self.port} 127.0.0.1", *(("user root",) if os.getuid() == 0 else ()))
        self._config.write_text("\n".join((*head, *lines)) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Broker:
        program = find_mosquitto()
        assert program, "mosquitto is not installed"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        wait_until(self._is_up, "mosquitto listens")
        return self

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Its connections stay open and nothing comes over them."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return self._log.read_text()

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@dataclass(frozen=True, slots=True)
class Received:
    topic: str
    payload: bytes
    is_retained: bool
    content_type: str | None
    user_properties: list[tuple[str, str]]
    expiry_s: int | None = None


@dataclass
class Subscriber:
    """Everything below ``topic``, as it came; knows nothing of edge."""

    port: int
    topic: str = "#"
    user: str | None = None
    password: str | None = None
    received: list[Received] = field(default_factory=list)
    _subscribed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if self.user:
            self._client.username_pw_set(self.user, self.password)
        self._client.on_connect = lambda client, *_: client.subscribe(self.topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def start(self) -> Subscriber:
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S), "the subscriber could not subscribe"
        return self

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def payloads(self, suffix: str) -> list[bytes]:
        return [message.payload for message in list(self.received) if message.topic.endswith(suffix)]

    def wait_for(self, count: int, suffix: str) -> list[bytes]:
        wait_until(lambda: len(self.payloads(suffix)) >= count, f"{count} messages on .../{suffix}")
        return self.payloads(suffix)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        content_type = getattr(message.properties, "ContentType", None)
        user_properties = list(getattr(message.properties, "UserProperty", []))
        expiry_s = getattr(message.properties, "MessageExpiryInterval", None)
        payload = bytes(message.payload)
        self.received.append(Received(message.topic, payload, message.retain, content_type, user_properties, expiry_s))


@contextlib.contextmanager
def subscribed(
    port: int, topic: str = "#", user: str | None = None, password: str | None = None
) -> Iterator[Subscriber]:
    subscriber = Subscriber(port, topic, user, password).start()
    try:
        yield subscriber
    finally:
        subscriber.stop()
