"""How long a fault may take, as docs/operate.md states it, and what an independent subscriber makes of it."""

from __future__ import annotations

from typing import Final

from tests.service.conftest import Row
from tests.service.machine import Books, Listener, Machine, books

START_S: Final = 30.0  # until READY; 120 s on a cold board
RESTARTED_S: Final = 5.0 + START_S  # RestartSec=, and a start
WATCHDOG_S: Final = 60.0 + RESTARTED_S  # WatchdogSec=, and a restart
STOP_S: Final = 45.0
TOLD_S: Final = 20.0  # a camera is lost after 10 s, frozen after 10 s
REOPENED_S: Final = 90.0  # a pause of 60 s at most, and opening
FROZEN_REOPENED_S: Final = 75.0  # a minute after it was told
SAVED_S: Final = 20.0  # the disk is tried every 5 s
EVENTS_S: Final = 90.0  # the clip has one every two seconds on the average, but a pause of six


def more(machine: Machine, listener: Listener, than: int, by: int = 3, within_s: float = EVENTS_S) -> None:
    """Wait until the subscriber holds ``by`` more events than ``than``."""
    came = listener.count() - books(listener.events()).held  # events that are there twice
    machine.seconds_until(lambda: listener.count() - came >= than + by, f"{by} more events", within_s)


def reckon(
    rows: list[Row],
    fault: str,
    before: Books,
    listener: Listener,
    *,
    back_s: float | None = None,
    reported: int = 0,
) -> None:
    """Whatever happened: every number is held, once by id, in order, but for those that are reported as lost."""
    after = books(listener.events())
    lost, again = after.lost - before.lost, after.again - before.again
    rows.append(Row(fault, before.held, after.held, lost, reported, again, back_s))
    assert (lost, after.in_order) == (reported, True)
    assert after.held > before.held


def restarted(machine: Machine, old_pid: str | None, limit_s: float) -> float:
    """Seconds until it is active in another process."""
    return machine.seconds_until(lambda: machine.pid() not in (None, old_pid), "it is active again", limit_s)
