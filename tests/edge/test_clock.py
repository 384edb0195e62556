"""Wall time as it is written, and when it may be believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import clock
from edge.clock import FakeClock, SystemClock, clock_state, is_synced, kernel_max_error_us, rfc3339_ms


def test_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert rfc3339_ms(1_795_421_702.123) == "2026-11-23T08:15:02.123Z"
    assert rfc3339_ms(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, 4_102_444_800_000))
def test_every_millisecond_is_written_as_itself(utc_ms: int) -> None:
    assert rfc3339_ms(utc_ms / 1000)[19:] == f".{utc_ms % 1000:03d}Z"


def test_rounding_carries_into_the_next_second() -> None:
    assert rfc3339_ms(59.9996) == "1970-01-01T00:01:00.000Z"


@pytest.mark.parametrize(
    ("error_us", "has_file", "expected"),
    [
        (500, False, True),
        (16_000_000, False, False),
        (None, False, False),
        (None, True, True),
        (16_000_000, True, True),
    ],
    ids=[
        "kernel says so",
        "nobody corrects it",
        "nobody may be asked",
        "call filtered, timesyncd says so",
        "it was set once",
    ],
)
def test_clock_is_synced_when_kernel_or_timesyncd_says_so(
    error_us: int | None, has_file: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "synchronized"
    if has_file:
        file.touch()
    monkeypatch.setattr(clock, "kernel_max_error_us", lambda: error_us)
    assert is_synced(file) is expected


def test_kernel_is_asked_without_rights_and_answers_in_microseconds() -> None:
    error_us = kernel_max_error_us()
    assert error_us is None or 0 <= error_us <= 16_000_000


def test_library_without_the_call_leaves_the_clock_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    assert kernel_max_error_us() is None
    assert not is_synced(tmp_path / "none")


def test_system_clock_tells_time() -> None:
    system = SystemClock()
    assert system.utc_s() > 1_700_000_000
    assert system.monotonic_s() <= system.monotonic_s()
    assert clock_state(system) in ("synced", "unsynced")


def test_wall_clock_that_jumps_leaves_monotonic_time_alone() -> None:
    fake = FakeClock(synced=False)
    before_s = fake.monotonic_s()
    fake.jump(20 * 365 * 86_400)
    fake.advance(1.5)
    assert fake.monotonic_s() - before_s == 1.5
    assert clock_state(fake) == "unsynced"
