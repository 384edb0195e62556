"""One machine and one listener for all that is tried, and the table of faults at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.service.machine import BOOT_S, Books, Listener, Machine, books, booted, listening


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. before, after: events that the subscriber held.

    lost: numbers that never came; reported: how many the daemon says are lost, "?" where it says that nobody can tell.
    again: events that came more than once, which MQTT's QoS 1 allows.
    back_s: until the unit was active, or gave events, again; None where it was never away.
    """

    fault: str
    before: int
    after: int
    lost: int = 0
    reported: int | str = 0
    again: int = 0
    back_s: float | None = None


ROWS = pytest.StashKey[list[Row]]()
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(ROWS, [])


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines for below the table."""
    return request.config.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Not in pytest's folder: other runs clear that away, and what is mounted in it with it."""
    with (
        TemporaryDirectory(prefix="mask-edge-test-", dir="/var/tmp", ignore_cleanup_errors=True) as folder,
        booted(Path(folder)) as one,
    ):
        yield one


@pytest.fixture(scope="session")
def listener(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    machine.seconds_until(
        lambda: "ActiveState=active" in machine.run("systemctl", "show", "mosquitto"), "broker", BOOT_S
    )
    with listening(machine, tmp_path_factory.mktemp("heard") / "record") as one:
        yield one


@pytest.fixture
def before(machine: Machine, listener: Listener) -> Books:
    """What the subscriber holds when the fault strikes; the unit is active."""
    assert machine.is_active(), machine.journal()[-2000:]
    return books(listener.events())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(ROWS, [])
    if not found:
        return
    terminalreporter.write_line("")
    names = f"{'events before':>15}{'after':>7}{'lost':>6}{'reported':>10}{'doubled':>9}{'back after':>12}"
    terminalreporter.write_line(f"{'fault':<48}{names}")
    for r in found:
        back = "" if r.back_s is None else f"{r.back_s:.1f} s"
        counts = f"{r.before:>15}{r.after:>7}{r.lost:>6}{r.reported:>10}{r.again:>9}{back:>12}"
        terminalreporter.write_line(f"{r.fault:<48}{counts}")
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
