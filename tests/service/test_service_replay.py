"""A broker that is away for ten thousand events, and a daemon that is killed while it makes up for it."""

from __future__ import annotations

import pytest

from tests.service.conftest import Row
from tests.service.machine import Books, Listener, Machine, books
from tests.service.reckon import RESTARTED_S, START_S, more, reckon, restarted
from tests.service.rootfs import missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]

AWAY = 10_000
SEVERAL = 3
COLLECT_S = 900.0  # on two busy cores
REPLAY_S = 300.0


@pytest.fixture(autouse=True)
def crowd(machine: Machine, listener: Listener) -> None:
    machine.watch_crowd()
    machine.seconds_until(lambda: machine.status().get("last_ack_s") is not None, "the broker", START_S)


def test_ten_thousand_events_are_replayed_in_order(
    machine: Machine, listener: Listener, rows: list[Row], figures: list[str], before: Books
) -> None:
    pid = machine.pid()
    held, seqs, away_bytes = collect(machine, listener, AWAY)
    machine.start_broker()
    more(machine, listener, than=held.held, by=AWAY, within_s=REPLAY_S)
    machine.seconds_until(lambda: machine.depth() < 100, "nothing waits", REPLAY_S)
    more(machine, listener, than=books(listener.events()).held, by=100)
    reckon(rows, f"broker away for {AWAY:,} events", before, listener)
    assert machine.pid() == pid
    assert machine.status()["outbox"]["dropped"] == 0
    marks = {f"door:{held.epochs[-1]}:{seq}" for seq in range(held.last_seq + 1, seqs + 1)}
    live = [event["id"] for event in listener.events()][-70:]
    replayed = listener.replayed()
    assert marks <= replayed
    assert not replayed & set(live)
    figures.append(f"broker away: {away_bytes / AWAY / 1000:.1f} kB an event reach the disk (ext4)")
    figures.append(f"broker there: {bytes_an_event(machine, listener) / 1000:.1f} kB an event, its deletion included")


def test_kill_9_in_the_middle_of_the_replay(
    machine: Machine, listener: Listener, rows: list[Row], before: Books
) -> None:
    """As soon as an event came: some thousands a second leave, and it takes a moment to kill."""
    held, _, _ = collect(machine, listener, AWAY)
    machine.start_broker()
    slowest_s, kills = 0.0, 0
    while (now := books(listener.events()).held) < held.held + AWAY:
        pid = machine.pid()
        more(machine, listener, than=now, by=1, within_s=REPLAY_S)
        machine.signal("KILL")
        kills += books(listener.events()).held < held.held + AWAY  # it was in the middle
        slowest_s = max(slowest_s, restarted(machine, pid, RESTARTED_S))
    more(machine, listener, than=held.held, by=AWAY + 100, within_s=REPLAY_S)
    machine.seconds_until(lambda: machine.depth() < 100, "nothing waits", REPLAY_S)
    reckon(rows, f"kill -9, {kills} times within that replay", before, listener, back_s=slowest_s)
    assert kills >= SEVERAL


def collect(machine: Machine, listener: Listener, count: int) -> tuple[Books, int, int]:
    """Stop the broker until so many events wait. Returns what the subscriber holds, the last number of those that wait
    at least, and the bytes that they cost the disk."""
    more(machine, listener, than=books(listener.events()).held, by=100)  # there is an epoch
    machine.stop_broker()
    written = machine.disk.written_bytes()
    machine.seconds_until(lambda: machine.depth() >= count, f"{count} events wait", COLLECT_S)
    last_seq: int = machine.status()["seq"]
    return books(listener.events()), last_seq, machine.disk.written_bytes() - written


def bytes_an_event(machine: Machine, listener: Listener) -> float:
    """While each is delivered as it comes."""
    written, came = machine.disk.written_bytes(), listener.count()
    more(machine, listener, than=books(listener.events()).held, by=700)
    return (machine.disk.written_bytes() - written) / (listener.count() - came)
