"""The table of faults at the end of the run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. active_s: until the unit was active again; before, after: events that the subscriber held.

    lost: numbers that never came. again: events that came more than once, which MQTT's QoS 1 allows.
    """

    fault: str
    active_s: float
    before: int
    after: int
    lost: int
    again: int


ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(ROWS, [])
    if not found:
        return
    terminalreporter.write_line("")
    terminalreporter.write_line(
        f"{'fault':<34}{'active after':>13}{'events before':>15}{'after':>7}{'lost':>6}{'doubled':>9}"
    )
    for r in found:
        line = f"{r.fault:<34}{r.active_s:>11.1f} s{r.before:>15}{r.after:>7}{r.lost:>6}{r.again:>9}"
        terminalreporter.write_line(line)
