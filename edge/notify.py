"""Word to systemd: ready, alive, what we are doing. The only file that knows of systemd-python.

The protocol is one datagram of KEY=VALUE lines to $NOTIFY_SOCKET
(https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html); where systemd-python is not installed, we send
it ourselves. Without that variable nobody asked, and nothing is said.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from typing import Final

try:
    from systemd import daemon as systemd
except ImportError:  # say() is what there is to know of it
    systemd = None

log = logging.getLogger(__name__)

SEND_S: Final = 1.0  # a systemd whose queue is full for longer is not worth a frame
FED_SHARE: Final = 1 / 3  # of the watchdog's time between two signs of life; systemd advises half or less


def is_service() -> bool:
    """Did systemd itself start this process?

    Not told by $INVOCATION_ID: every terminal of a desktop that systemd started hands it on.
    """
    return "NOTIFY_SOCKET" in os.environ or os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def watchdog_s() -> float:
    """After how long without a sign of life systemd ends this process, seconds; infinite where it never does."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    is_ours = pid is None or pid == str(os.getpid())
    return int(usec) / 1e6 if usec.isdigit() and int(usec) and is_ours else math.inf


class Notifier:
    """Used by one thread, the one that does the work: where it hangs, nobody else may say that all is well."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fed_every_s = watchdog_s() * FED_SHARE
        self._fed_mono_s = -math.inf
        self._is_ready = False
        self._status = ""

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    def ready(self) -> None:
        """Up: said once, and again after ``reloading``."""
        if not self._is_ready:
            self._is_ready = True
            say("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` must follow."""
        self._is_ready = False
        say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def alive(self) -> None:
        """Feed the watchdog. To be called on progress, and on nothing else; as often as there is some."""
        now_s = self._clock()
        if now_s - self._fed_mono_s >= self._fed_every_s:
            self._fed_mono_s = now_s
            say("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows: one line."""
        if text != self._status:
            self._status = text
            say(f"STATUS={' '.join(text.split())}")

    def stopping(self) -> None:
        say("STOPPING=1")


def say(*lines: str) -> None:
    """Never fails and never waits long: a systemd that does not listen is no reason to miss a frame."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    text = "\n".join(lines)
    try:
        if systemd is not None:
            systemd.notify(text)
        else:
            send(text, address)
    except OSError as error:
        log.debug("notify: %s: %s", address, error)


def send(text: str, address: str) -> None:
    """address: a path, or a name that begins with @ (Linux' abstract sockets)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(SEND_S)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(text.encode())
