"""A door: the daemon in a process of its own as systemd starts it, its state folder a small file system of its own, a
real Mosquitto, and a subscriber with a lasting session."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.places import PACKAGE
from tests.edge.notified import Listening
from tests.mosquitto import Broker

DISK_MIB: Final = 4
LASTING: Final = (
    "allow_anonymous true",
    "persistence true",
    "autosave_on_changes true",
    "autosave_interval 1",
    "max_queued_messages 0",
)
EDGE: Final = ("-m", "edge")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of the daemon and its children, just now. frame: the last that an event tells of."""

    frame: int
    rss_kib: int
    fds: int
    threads: int


class Listener:
    """Every event, once by id, in the order in which it first came. Its session outlasts it, and a broker's death."""

    def __init__(self, port: int) -> None:
        self.held: dict[str, bytes] = {}
        self.repeated = 0
        self._port = port
        self._subscribed = threading.Event()
        self._client: paho.Client | None = None

    def start(self) -> None:
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("mask-edge/door/event", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 86_400
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=session)
        self._client.loop_start()
        assert self._subscribed.wait(20), "the listener could not subscribe"

    def stop(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        number = json.loads(message.payload)["id"]
        self.repeated += number in self.held
        self.held.setdefault(number, bytes(message.payload))


class Door:
    """program: what Python is to run, ``-m edge`` or something that behaves a little worse."""

    def __init__(self, folder: Path, script: str, program: Sequence[str] = EDGE) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.broker = Broker(folder, (*LASTING, f"persistence_location {folder}/"))
        self.listener = Listener(self.broker.port)
        self._told = folder / "events.jsonl"
        self._log = folder / "log"
        self._heard: dict[str, int] = {}
        self._told_end, self._told_count, self._frame = 0, 0, 0
        (folder / "camera.toml").write_text(script)
        for name in ("state", "run"):
            (folder / name).mkdir()
        self.configure(change_s=1.0)
        self._systemd = Listening(str(folder / "notify"))
        self._command = (*mounting(self.state), sys.executable, *program, "run", "--pace", "max")

    def __enter__(self) -> Door:
        try:
            self._start()
        except BaseException:
            self.broker.kill()
            raise
        return self

    def _start(self) -> None:
        self.broker.start()
        self.listener.start()
        mine = {"STATE_DIRECTORY": self.state, "RUNTIME_DIRECTORY": self.folder / "run"}
        environment = {**os.environ, **{name: str(path) for name, path in mine.items()}}
        environment |= {"NOTIFY_SOCKET": self._systemd.address, "PYTHONPATH": str(PACKAGE.parent)}
        with self._log.open("w") as log:
            command = [*self._command, "--config", str(self.folder / "config.toml")]
            self._process = subprocess.Popen(
                command, cwd=PACKAGE.parent, env=environment, stdout=subprocess.DEVNULL, stderr=log
            )

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.listener.stop()
        self.broker.thaw()
        self.broker.kill()
        self._systemd.close()

    def configure(self, change_s: float) -> None:
        """change_s: what a reload may take over while it runs."""
        (self.folder / "config.toml").write_text(
            f"[device]\nname = 'door'\n[camera]\nsource = 'scripted:{self.folder}/camera.toml'\n"
            f"[decide]\nchange_s = {change_s}\n[detector]\nname = 'yunet'\n[publish]\ndrain_s = 120\n"
            f"sinks = ['mqtt://127.0.0.1:{self.broker.port}', 'jsonl:{self._told}']\n"
        )

    def misconfigure(self) -> None:
        (self.folder / "config.toml").write_text("[decide]\nchange_s = 'soon'\n")

    def hang_up(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    @property
    def disk(self) -> Path:
        """The state folder as the daemon sees it, where it has a file system of its own."""
        return Path(f"/proc/{self._process.pid}/root{self.state}")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self, timeout_s: float) -> int:
        """As systemd does; its exit code. It may have come to its end by itself."""
        self._process.terminate()
        return self._process.wait(timeout_s)

    def log(self) -> str:
        return self._log.read_text()

    def await_word(self, word: str, timeout_s: float) -> None:
        """Until the log says it once more often than at the last time."""
        heard = self._heard.get(word, 0)
        wait_for(lambda: self.log().count(word) > heard, f"the log says {word!r}", timeout_s)
        self._heard[word] = self.log().count(word)

    def frame(self) -> int:
        """The frame of the newest event."""
        self._look()
        return self._frame

    def told(self) -> int:
        """How many events there are by now."""
        self._look()
        return self._told_count

    def events(self) -> list[bytes]:
        return self._told.read_bytes().splitlines()

    def is_caught_up(self) -> bool:
        return len(self.listener.held) >= self.told()

    def is_nearly_caught_up(self) -> bool:
        """As far as may be while events go on coming."""
        return len(self.listener.held) >= self.told() - 2

    def usage(self) -> Usage:
        pids = [self._process.pid, *children(self._process.pid)]
        each = [status(pid) for pid in pids]
        return Usage(self.frame(), *(sum(one[place] for one in each) for place in range(3)))

    def _look(self) -> None:
        lines: list[bytes] = []
        with contextlib.suppress(FileNotFoundError), self._told.open("rb") as file:  # not yet made
            file.seek(self._told_end)
            lines = file.read().split(b"\n")[:-1]
        if lines:
            self._told_end += sum(len(line) + 1 for line in lines)
            self._told_count += len(lines)
            self._frame = int(json.loads(lines[-1])["frame"])


def mounting(folder: Path) -> tuple[str, ...]:
    """What to put before a command so that ``folder`` is a small file system that only it and its children see; nothing
    where this machine does not let us."""
    ours = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--user", "--map-root-user")))
    mount = 'mount -t tmpfs -o "size=$1m" tmpfs "$2" && shift 2 && exec "$@"'
    command = (*ours, "sh", "-c", mount, "sh", str(DISK_MIB), str(folder))
    return command if _works((*command, "true")) else ()


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(word) for task in tasks for word in task.read_text().split()]
    return [*found, *(below for child in found for below in children(child))]


def status(pid: int) -> tuple[int, int, int]:
    """Resident KiB, open files, threads."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(fields["Threads"])


def wait_for(is_true: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Looks four times a second: who measures must not be what keeps the machine busy."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.25)
