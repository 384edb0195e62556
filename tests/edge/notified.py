"""systemd's end of $NOTIFY_SOCKET: a real datagram socket that keeps what it is told."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

MARK: Final = "X_MARK=1"
END: Final = "X_END=1"


class Listening:
    """What was said so far, one datagram an entry; read all the time, as systemd does: a socket queues ten or so."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._heard: list[str] = []
        self._marks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(raw(address))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def heard(self) -> list[str]:
        self._send(MARK)
        self._marks.get(timeout=10)  # all that was sent before it has been read
        return list(self._heard)

    def count(self, line: str) -> int:
        return self.heard().count(line)

    def begins(self, start: str) -> list[str]:
        return [said for said in self.heard() if said.startswith(start)]

    def close(self) -> None:
        self._send(END)
        self._thread.join(10)
        self._socket.close()

    def _send(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(raw(self.address))
            sock.send(text.encode())

    def _listen(self) -> None:
        while (text := self._socket.recv(4096).decode()) != END:
            if text == MARK:
                self._marks.put(text)
            else:
                self._heard.append(text)


def raw(address: str) -> str:
    """As the kernel wants it: an abstract one begins with a zero byte."""
    return "\0" + address[1:] if address.startswith("@") else address


@contextlib.contextmanager
def listening(folder: Path, monkeypatch: pytest.MonkeyPatch, watchdog_s: float | None = None) -> Iterator[Listening]:
    """As if systemd had started this process. watchdog_s: its WatchdogSec."""
    systemd = Listening(str(folder / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    if watchdog_s is not None:
        monkeypatch.setenv("WATCHDOG_USEC", str(round(watchdog_s * 1e6)))
    try:
        yield systemd
    finally:
        systemd.close()
