"""Time, and whether the wall clock may be believed.

Every timeout and age is monotonic; wall time stands in payloads only, with a flag: a board without a battery starts
years in the past and jumps when the network comes.
"""

from __future__ import annotations

import ctypes
import struct
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Protocol

ClockState = Literal["synced", "unsynced"]

# Written by systemd-timesyncd once the clock was set; the only sign where the system call is filtered.
TIMESYNC_FILE: Final = Path("/run/systemd/timesync/synchronized")
# The kernel lets its estimate of the error grow to 16 s when nobody corrects the clock. systemd judges by this too, and
# not by STA_UNSYNC, which may be set only to keep the kernel from writing to the hardware clock.
MAX_ERROR_US: Final = 16_000_000
_TIMEX: Final = struct.Struct("@Illlli")  # modes, offset, freq, maxerror, esterror, status; the rest is not read
_TIMEX_ROOM_BYTES: Final = 512  # struct timex has 208 bytes on 64 bit, 128 on 32 bit


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds that never jump; comparable only within one boot."""

    def utc_s(self) -> float:
        """Wall time, seconds since 1970."""

    def is_synced(self) -> bool:
        """Has somebody set the wall clock, by the network or a receiver?"""


class SystemClock:
    """This machine's."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc_s(self) -> float:
        return time.time()

    def is_synced(self) -> bool:
        return is_synced()


@dataclass(slots=True)
class FakeClock:
    """Stands still until told; for tests."""

    mono_s: float = 1_000.0
    wall_s: float = 1_795_594_502.123  # 2026-11-25
    synced: bool = True

    def monotonic_s(self) -> float:
        return self.mono_s

    def utc_s(self) -> float:
        return self.wall_s

    def is_synced(self) -> bool:
        return self.synced

    def advance(self, seconds: float) -> None:
        self.mono_s += seconds
        self.wall_s += seconds

    def jump(self, seconds: float) -> None:
        """The wall clock is set; monotonic time does not notice."""
        self.wall_s += seconds


def is_synced(timesync_file: Path = TIMESYNC_FILE) -> bool:
    """True where the kernel or systemd-timesyncd says that the clock was set; when in doubt, False."""
    error_us = kernel_max_error_us()
    return (error_us is not None and error_us < MAX_ERROR_US) or timesync_file.exists()


def kernel_max_error_us() -> int | None:
    """How far the kernel believes the clock may be off, microseconds; None where it may not be asked."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = ctypes.create_string_buffer(_TIMEX_ROOM_BYTES)  # modes = 0: only reads
    if adjtimex(timex) < 0:
        return None
    return int(_TIMEX.unpack_from(timex)[3])


def clock_state(clock: Clock) -> ClockState:
    return "synced" if clock.is_synced() else "unsynced"


def rfc3339_ms(utc_s: float) -> str:
    """``2026-11-23T08:15:02.123Z``; utc_s: seconds since 1970."""
    whole = datetime.fromtimestamp(round(utc_s, 3), UTC)
    return whole.isoformat(timespec="milliseconds").replace("+00:00", "Z")
