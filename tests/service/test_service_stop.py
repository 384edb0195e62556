"""The end of the story that ``test_service`` begins."""

from __future__ import annotations

import time

import pytest

from tests.service.conftest import Row
from tests.service.machine import UNIT, Books, Listener, Machine, books
from tests.service.reckon import RESTARTED_S, STOP_S
from tests.service.rootfs import missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]


def test_a_clean_stop_is_in_time_and_says_offline(
    machine: Machine, listener: Listener, rows: list[Row], before: Books
) -> None:
    started_s = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    took_s = time.monotonic() - started_s
    assert took_s < STOP_S
    assert (machine.show("ActiveState"), machine.show("Result")) == ("inactive", "success")
    machine.seconds_until(lambda: listener.payloads("/availability")[-1] == "offline", "offline", 5)
    found = books(listener.events())
    lost, again = found.lost - before.lost, found.again - before.again
    rows.append(Row(f"clean stop, in {took_s:.1f} s", before.held, found.held, lost, 0, again))
    assert (lost, found.in_order) == (0, True)


def test_a_start_that_can_never_work_is_tried_for_ever(machine: Machine) -> None:
    """A config that is wrong ends in 78 each time; when it is mended, nobody has to reset anything."""
    config = "/etc/mask-edge/config.toml"
    machine.run("sed", "-i.right", "s/source =/sauce =/", config)
    machine.run("systemctl", "start", UNIT, check=False)
    machine.seconds_until(lambda: int(machine.show("NRestarts")) >= 3, "three attempts", 90)
    assert "status=78/CONFIG" in machine.journal()
    assert "78" in machine.run("journalctl", "-u", UNIT, "-p", "err", "-o", "verbose", "MASK_EDGE_ACTION=ended")
    assert "camera.sauce is not a known key: did you mean source?" in machine.journal()
    machine.run("mv", f"{config}.right", config)
    machine.seconds_until(machine.is_active, "active", RESTARTED_S)


def test_the_journal_holds_no_traceback(machine: Machine) -> None:
    assert "Traceback" not in machine.journal()
