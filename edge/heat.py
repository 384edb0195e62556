"""Fewer frames when the board is hot, before the kernel lowers the clock and every frame gets late."""

from __future__ import annotations

from typing import Final

WARM_C: Final = 75.0  # a Raspberry Pi lowers its clock from 80 on (85 at the latest)
HOT_C: Final = 80.0
RELIEF_C: Final = 5.0  # so much cooler than where a limit set in, or the rate would swing
MAX_REST_S: Final = 2.0
BUSY_MEMORY: Final = 0.1  # share of the newest frame in the usual working time


class Heat:
    """share: of the usual frame rate that is worked at: 1, a half from 75 C on, a quarter from 80 C on."""

    def __init__(self, fps: float) -> None:
        self.share = 1.0
        self._usual_s = 1 / fps
        self._busy_s = 0.0

    @property
    def is_hot(self) -> bool:
        return self.share < 1

    def feel(self, temperature_c: float | None) -> None:
        """Where the board has no thermometer (None), it is never called hot."""
        celsius = -273.0 if temperature_c is None else temperature_c
        quarter_c = HOT_C - RELIEF_C * (self.share <= 0.25)
        half_c = WARM_C - RELIEF_C * (self.share <= 0.5)
        self.share = 0.25 if celsius >= quarter_c else 0.5 if celsius >= half_c else 1.0

    def rest_s(self, busy_s: float, since_last_s: float) -> float:
        """How long to let the board rest after a frame, seconds.

        busy_s: what the frame took. since_last_s: since the rest after the frame before ended.
        """
        self._busy_s += BUSY_MEMORY * (busy_s - self._busy_s)
        if not self.is_hot:
            return 0.0
        interval_s = max(self._usual_s, self._busy_s) / self.share
        return min(MAX_REST_S, max(0.0, interval_s - since_last_s))
