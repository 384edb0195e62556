"""The disk of the outbox: full, full and killed, overwritten, torn. Seventy people keep it busy."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.status import EVERY_S
from tests.service.conftest import Row
from tests.service.machine import UNIT, Books, Listener, Machine, books
from tests.service.reckon import RESTARTED_S, SAVED_S, START_S, more, reckon, restarted
from tests.service.rootfs import missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]

Spoil = Callable[[Path], None]

FEW_S = 60.0  # a hundred events or so


@pytest.fixture(autouse=True)
def crowd(machine: Machine, listener: Listener) -> None:
    machine.start_broker()
    machine.watch_crowd()
    machine.seconds_until(lambda: machine.status().get("last_ack_s") is not None, "the broker", START_S)


def test_a_full_disk(machine: Machine, listener: Listener, rows: list[Row], before: Books) -> None:
    """With the broker there nothing needs to grow; without, events wait in memory until there is room again."""
    pid = machine.pid()
    machine.disk.fill()
    more(machine, listener, than=before.held, by=100)
    machine.stop_broker()
    machine.seconds_until(lambda: "outbox_in_memory" in machine.reasons(), "it is told", FEW_S)
    told = machine.depth()
    machine.seconds_until(lambda: machine.depth() > told + 100, "events wait in memory", FEW_S)
    machine.disk.make_room()
    back_s = machine.seconds_until(lambda: "outbox_in_memory" not in machine.reasons(), "they are saved", SAVED_S)
    held = books(listener.events()).held
    machine.start_broker()
    more(machine, listener, than=held, by=told + 100)
    reckon(rows, "full disk, then room again", before, listener, back_s=back_s)
    assert machine.pid() == pid
    assert machine.status()["outbox"]["lost"] == 0


def test_a_kill_while_the_disk_is_full(machine: Machine, listener: Listener, rows: list[Row], before: Books) -> None:
    """What was in memory only is lost; the next start says how many, on a disk that is full still."""
    machine.stop_broker()
    machine.disk.fill()
    machine.seconds_until(lambda: "outbox_in_memory" in machine.reasons(), "it is told", FEW_S)
    told = machine.depth()
    machine.seconds_until(lambda: machine.depth() > told + 100, "events wait in memory", FEW_S)
    pid = machine.pid()
    machine.signal("KILL")
    active_s = restarted(machine, pid, RESTARTED_S)
    machine.seconds_until(lambda: "events_lost" in machine.reasons(), "the loss is told", START_S)
    lost = machine.status()["outbox"]["lost"]
    assert lost > 100
    assert f"outbox: {lost} events are lost: the run before ended while the disk took no events" in machine.journal()
    machine.start_broker()
    more(machine, listener, than=before.held, by=told + 100)
    machine.disk.make_room()
    more(machine, listener, than=books(listener.events()).held, by=100)
    reckon(rows, "kill -9 while the disk is full", before, listener, back_s=active_s, reported=lost)
    assert any(f'"lost":{lost}' in health for health in listener.payloads("/health"))


def page_overwritten(file: Path) -> None:
    """512 bytes of noise in the middle, at the head of a page; one of rows, for the file has no free ones then."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("VACUUM")
    size = file.stat().st_size
    with file.open("r+b") as data:
        data.seek(size // 2 // 4096 * 4096)
        data.write(random.Random(1).randbytes(512))


def head_overwritten(file: Path) -> None:
    with file.open("r+b") as data:
        data.write(random.Random(2).randbytes(512))


def torn(file: Path) -> None:
    with file.open("r+b") as data:
        data.truncate(file.stat().st_size // 2 + 100)


@pytest.mark.parametrize(("spoil", "is_counted"), [(page_overwritten, True), (head_overwritten, False), (torn, False)])
def test_a_damaged_outbox_is_set_aside_and_its_loss_reported(
    machine: Machine, listener: Listener, rows: list[Row], before: Books, spoil: Spoil, is_counted: bool
) -> None:
    machine.stop_broker()
    then_s = machine.status()["uptime_s"]

    def are_on_disk() -> bool:
        """The status may be some seconds old, and tell of events that the broker took since."""
        now = machine.status()
        is_new = now["uptime_s"] > then_s + EVERY_S
        return is_new and "outbox_in_memory" not in now["reasons"] and now["outbox"]["depth"] > 300

    machine.seconds_until(are_on_disk, "events wait", FEW_S)
    machine.run("systemctl", "stop", UNIT)
    lost = waiting(machine)
    epoch, held = books(listener.events()).epochs[-1], books(listener.events()).held
    spoil(machine.disk.folder / "outbox.sqlite")
    started_s = time.monotonic()
    machine.run("systemctl", "start", UNIT)  # returns at READY
    machine.seconds_until(machine.is_active, "active", START_S)
    active_s = time.monotonic() - started_s
    machine.seconds_until(lambda: "events_lost" in machine.reasons(), "the loss is told", START_S)
    reported = machine.status()["outbox"]["lost"]
    assert reported == (lost if is_counted else None)
    assert (machine.disk.folder / "outbox.sqlite.broken").exists()
    machine.start_broker()
    more(machine, listener, than=held, by=100)
    after = books(listener.events())
    name = f"outbox {spoil.__name__.replace('_', ' ')}"
    again, shown = after.again - before.again, "?" if reported is None else reported
    rows.append(Row(name, before.held, after.held, lost, shown, again, active_s))
    assert (after.lost, after.in_order) == (before.lost, True)  # none within an epoch
    assert after.epochs[-1] != epoch
    assert len(after.epochs) == len(before.epochs) + 1
    last_health = listener.payloads("/health")[-1]
    assert f'"lost":{"null" if reported is None else reported}' in last_health


def waiting(machine: Machine) -> int:
    """Events in the file: as this machine sees it, so that nothing is asked of the daemon."""
    with closing(sqlite3.connect(f"file:{machine.disk.folder}/outbox.sqlite?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM event").fetchone()[0])
