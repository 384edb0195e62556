"""``edge run`` as systemd runs it: started anew whenever it ends, and ended where it gives no sign of life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.places import PACKAGE
from tests.edge.notified import Listening, listening

WATCHDOG_S = 8.0
START_S = 20.0


class Service:
    """Restart=always and WatchdogSec, at a test's pace. A clip that ends is played again, by another start."""

    def __init__(self, config: Path, systemd: Listening, log: Path) -> None:
        self.log = log
        self.deaths: list[int] = []  # exit codes, in order
        self._command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        self._systemd = systemd
        self._environment = dict(os.environ)
        self._is_over = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def text(self) -> str:
        return self.log.read_text()

    def stop(self) -> None:
        """As ``systemctl stop``: in good order, if it can."""
        self._is_over.set()
        self._thread.join(30)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=PACKAGE.parent, env=self._environment, stdout=log, stderr=log)

    def _look_after(self) -> None:
        alive_s, signs, limit_s = time.monotonic(), 0, START_S
        while not self._is_over.wait(0.1):
            if self._process.poll() is not None:
                self.deaths.append(self._process.returncode)
                time.sleep(0.3)
                self._process = self._start()
                alive_s, limit_s = time.monotonic(), START_S
            heard = self._systemd.count("WATCHDOG=1")
            if heard > signs:
                alive_s, signs, limit_s = time.monotonic(), heard, WATCHDOG_S
            if time.monotonic() - alive_s > limit_s:
                self._process.send_signal(signal.SIGABRT)
                self._process.wait()


@contextmanager
def serving(folder: Path, config: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A daemon at work under such a configuration, and stopped at the end of the block."""
    (folder / "config.toml").write_text(config)
    with listening(folder, monkeypatch, watchdog_s=WATCHDOG_S) as systemd:
        service = Service(folder / "config.toml", systemd, folder / "log")
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
            os.environ.pop(name)  # what this test starts besides is no service
        try:
            yield service
        finally:
            service.stop()
