"""Word to systemd, as systemd would hear it."""

from __future__ import annotations

import math
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.notify import Notifier, is_service, say, watchdog_s
from tests.edge.notified import Listening, listening


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    with listening(tmp_path, monkeypatch, watchdog_s=30) as one:
        yield one


def test_ready_is_said_once(systemd: Listening) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.ready()
    assert systemd.heard() == ["READY=1"]


def test_a_reload_is_told_with_its_moment_and_ends_with_another_ready(systemd: Listening) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.reloading()
    notifier.ready()
    first, reloading, last = systemd.heard()
    assert (first, last) == ("READY=1", "READY=1")
    word, moment = reloading.splitlines()
    assert word == "RELOADING=1"
    assert int(moment.removeprefix("MONOTONIC_USEC=")) > 0


def test_the_watchdog_is_fed_a_third_of_its_time_apart_however_often_there_is_progress(systemd: Listening) -> None:
    clock = FakeClock()
    notifier = Notifier(clock.monotonic_s)
    for _ in range(600):  # 60 s of 10 frames a second, the watchdog's time being 30
        notifier.alive()
        clock.advance(0.1)
    assert systemd.heard() == ["WATCHDOG=1"] * 6


def test_without_a_watchdog_no_sign_of_life_is_sent(systemd: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC")
    notifier = Notifier()
    notifier.alive()
    notifier.alive()
    assert len(systemd.heard()) <= 1


def test_a_watchdog_of_another_process_is_none_of_ours(systemd: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_s() == math.inf
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 30.0


def test_a_status_is_one_line_and_is_not_repeated(systemd: Listening) -> None:
    notifier = Notifier()
    notifier.status("15 frames/s,\n model x")
    notifier.status("15 frames/s,\n model x")
    notifier.stopping()
    assert systemd.heard() == ["STATUS=15 frames/s, model x", "STOPPING=1"]


def test_an_abstract_socket_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Listening(f"@mask-edge-test-{secrets.token_hex(8)}")
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    say("READY=1")
    assert systemd.heard() == ["READY=1"]
    systemd.close()


@pytest.mark.parametrize("address", ["", "/none/notify"])
def test_where_nobody_listens_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    say("READY=1")


def test_a_systemd_that_does_not_read_holds_nothing_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.notify.SEND_S", 0.01)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "deaf"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        began_s = time.monotonic()
        for _ in range(500):  # a datagram socket queues ten, or a few hundred
            say("STATUS=" + "x" * 100)
    assert time.monotonic() - began_s < 20


def test_a_terminal_that_systemd_started_does_not_make_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    assert not is_service()
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert is_service()
