"""What the board says of itself: heat, throttling, memory. Each answer is None where this board has none."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled; the same 16 bits higher: since boot
THROTTLED_BITS: Final = {0: "under_voltage", 1: "frequency_capped", 2: "throttled", 3: "soft_temperature_limit"}
SINCE_BOOT: Final = 16
VCGENCMD_S: Final = 1.0
PLAUSIBLE_C: Final = (-40.0, 130.0)  # a sensor that is away reports such as -274
SOC_ZONE: Final = re.compile(r"cpu|soc|core|pkg")


@dataclass(frozen=True, slots=True)
class Throttled:
    """Names of ``THROTTLED_BITS`` that hold now, and that held at any time since the board was switched on."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


class Board(Protocol):
    """temperature_c: of the SoC. rss_mb: resident memory of this process, MiB."""

    def temperature_c(self) -> float | None: ...

    def throttled(self) -> Throttled | None: ...

    def rss_mb(self) -> float: ...


class ThisBoard:
    """Read from the kernel. root: where its /sys and /proc are. firmware_bits: a Raspberry Pi's, None elsewhere."""

    def __init__(self, root: Path = Path("/"), firmware_bits: Callable[[], int | None] | None = None) -> None:
        self._thermal = root / "sys/class/thermal"
        self._hwmon = root / "sys/class/hwmon"
        self._statm = root / "proc/self/statm"
        self._page_bytes = 4096 if root != Path("/") else page_bytes()
        self._firmware_bits = firmware_bits or Vcgencmd()

    def temperature_c(self) -> float | None:
        """The hottest sensor of the processor; where none is called so, the hottest of all."""
        zones = {zone: temperature(zone / "temp") for zone in sorted(self._thermal.glob("thermal_zone*"))}
        known = {zone: value for zone, value in zones.items() if value is not None}
        of_soc = [value for zone, value in known.items() if SOC_ZONE.search(read(zone / "type") or "")]
        return max(of_soc or known.values(), default=None)

    def throttled(self) -> Throttled | None:
        bits = self._firmware_bits()
        return from_bits(bits) if bits is not None else self._from_hwmon()

    def rss_mb(self) -> float:
        pages = (read(self._statm) or "0 0").split()[1]
        return round(int(pages) * self._page_bytes / 2**20, 1)

    def _from_hwmon(self) -> Throttled | None:
        """Under-voltage only, and of the present: all that the kernel shows of it in a sandbox without /dev/vcio."""
        alarms = [read(path) for path in self._hwmon.glob("hwmon*/in0_lcrit_alarm")]
        if not alarms:
            return None
        return Throttled(("under_voltage",) if "1" in alarms else (), ())


class Vcgencmd:
    """The Raspberry Pi's firmware, asked through its own command. One that fails is not asked again."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        found = shutil.which("vcgencmd")
        self._command = list(command) if command else [found, "get_throttled"] if found else None

    def __call__(self) -> int | None:
        if self._command is None:
            return None
        try:
            done = subprocess.run(self._command, capture_output=True, text=True, timeout=VCGENCMD_S, check=True)
            return int(done.stdout.strip().removeprefix("throttled="), 16)
        except (OSError, subprocess.SubprocessError, ValueError):
            self._command = None  # no /dev/vcio in this sandbox
            return None


def from_bits(bits: int) -> Throttled:
    now = tuple(name for bit, name in THROTTLED_BITS.items() if bits >> bit & 1)
    since_boot = tuple(name for bit, name in THROTTLED_BITS.items() if bits >> (bit + SINCE_BOOT) & 1)
    return Throttled(now, since_boot)


def temperature(path: Path) -> float | None:
    """Degrees Celsius from a file that holds thousandths of them."""
    text = read(path)
    try:
        value = int(text) / 1000 if text else None
    except ValueError:
        return None
    return value if value is not None and PLAUSIBLE_C[0] < value < PLAUSIBLE_C[1] else None


def read(path: Path) -> str | None:
    """A sensor may refuse to be read just now."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def page_bytes() -> int:
    import resource

    return resource.getpagesize()
