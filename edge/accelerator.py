"""Where the classifier runs: the policy ``classifier.accelerator``, kept to while an Edge TPU comes and goes.

``cpu``      never looks for one.
``auto``     takes it where the bundle has a model for it and it is there, and says which it took; goes on on the CPU
             when it is lost, and tells it; tries it again and again.
``edgetpu``  lets nothing else judge. While it is away a service stays up, follows people, judges nobody and tells it;
             at a terminal that is an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from edge.backoff import Backoff
from edge.bundle import COMPILED, Bundle
from edge.classify import Classifier, Judge
from edge.edgetpu import START_S, EdgeTpu, TpuAbsent, TpuFailed
from edge.errors import DataError, EdgeError
from edge.golden import disagreement, read_golden
from edge.journal import asks
from edge.records import AcceleratorTrouble, Box, ImageU8, Reading

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 2.0  # a stick needs some seconds to appear at boot, and to change its id after its firmware
RETRY_MAX_S: Final = {"auto": 600.0, "edgetpu": 60.0}  # a look takes a process: seldom, where the CPU does the work
NOT_LOST: Final = TpuAbsent("the Edge TPU was not looked for yet, or judges")
WORKED_S: Final = 60.0  # one that lasted as long is tried again at once


def open_judge(bundle: Bundle, policy: str, threads: int = 1, *, stays: bool = False, waits: bool = True) -> Judge:
    """By the policy. stays: an ``edgetpu`` that is away is waited for, without end, and not an error.

    waits: until it is known what judges; else that comes by and by, with ``tend``.
    Raises DataError where the bundle has no model that the policy allows, Unavailable for an Edge TPU that is away.
    """
    if policy == "edgetpu" and bundle.edgetpu_model is None:
        raise DataError(
            f"bundle {bundle.path} holds no {COMPILED}, which an Edge TPU needs",
            'export it with \'trainer export --edgetpu\', or set classifier.accelerator to "auto" or "cpu"',
        )
    if policy == "cpu" or bundle.edgetpu_model is None:
        if policy == "auto":
            log.info("accelerator: none, the bundle has no model for one")
        return Classifier(bundle, threads)
    judge = Accelerated(bundle, bundle.edgetpu_model, policy, threads, stays=stays)
    if waits:
        judge.settle()
    return judge


class Accelerated:
    """A bundle's classifier on an Edge TPU as far as there is one; see the policies above. Starts without it."""

    def __init__(
        self,
        bundle: Bundle,
        compiled: bytes,
        policy: str,
        threads: int = 1,
        *,
        stays: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.threshold = bundle.tag, bundle.threshold
        self.reads = 0
        self._bundle = bundle
        self._compiled = compiled
        self._policy = policy
        self._stays = stays
        self._clock = clock
        self._golden = read_golden(bundle)
        self._cpu = Classifier(bundle, threads) if policy == "auto" else None
        self._starting: EdgeTpu | None = None
        self._tpu: EdgeTpu | None = None
        self._on_tpu: Classifier | None = None
        self._backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S[policy])
        self._retry_at_s = self._took_s = clock()
        self._error: EdgeError = NOT_LOST
        self._trouble: AcceleratorTrouble | None = None
        self._has_worked = False

    @property
    def runtime(self) -> str:
        """Of what judges now; of an ``edgetpu`` that is away: that it is away."""
        now = self._on_tpu or self._cpu
        return now.runtime if now else "none: the Edge TPU is away"

    @property
    def latency_ms(self) -> float | None:
        """Of what judges now."""
        now = self._on_tpu or self._cpu
        return now.latency_ms if now else None

    def read(self, image_bgr: ImageU8, box: Box) -> Reading | None:
        """As Classifier does. None, or the error, only where nothing but an Edge TPU may judge and it is away."""
        reading = self._read(image_bgr, box)
        self.reads += reading is not None
        return reading

    def _read(self, image_bgr: ImageU8, box: Box) -> Reading | None:
        if self._on_tpu:
            try:
                return self._on_tpu.read(image_bgr, box)
            except TpuFailed as error:
                self._lose(error)
        if self._cpu:
            return self._cpu.read(image_bgr, box)
        if self._stays:
            return None
        raise self._error

    def tend(self) -> AcceleratorTrouble | None:
        """Start it, look whether it is up, start it again; never waits for it."""
        self._advance(0.0)
        return self._trouble

    def settle(self) -> None:
        """Wait for it once, for as long as its start may take. Raises what is wrong where that is an error."""
        self._advance(START_S)
        if not (self._on_tpu or self._cpu or self._stays):
            raise self._error

    def close(self) -> None:
        for tpu in (self._starting, self._tpu):
            if tpu:
                tpu.close()
        self._starting = self._tpu = self._on_tpu = None

    def _advance(self, wait_s: float) -> None:
        try:
            if self._on_tpu is None and self._starting is None and self._clock() >= self._retry_at_s:
                self._starting = EdgeTpu(self._compiled)
            if self._starting and self._starting.is_ready(wait_s):
                self._take(self._starting)
        except (TpuAbsent, TpuFailed, DataError) as error:
            self._lose(error)

    def _take(self, tpu: EdgeTpu) -> None:
        """It runs. Does it also give what this model is known to give?"""
        on_tpu = Classifier(self._bundle, interpreter=tpu)
        if wrong := [w for case, crop in self._golden if (w := disagreement(case, crop, on_tpu))]:
            raise TpuFailed(
                f"the Edge TPU failed the bundle's self-test ({'; '.join(wrong)})", "export the bundle again"
            )
        self._starting, self._tpu, self._on_tpu = None, tpu, on_tpu
        self._took_s, self._has_worked, self._trouble = self._clock(), True, None
        self._error = NOT_LOST
        log.info("accelerator: the Edge TPU judges, %s", tpu.runtime)

    def _lose(self, error: EdgeError) -> None:
        if self._on_tpu and self._clock() - self._took_s >= WORKED_S:
            self._backoff.reset()
        self.close()
        self._trouble = self._trouble_of(error)
        pause_s = self._backoff.next_s()
        self._retry_at_s = self._clock() + pause_s
        is_news = str(error) != str(self._error)
        self._error = error
        log.log(
            (logging.WARNING if self._trouble else logging.INFO) if is_news else logging.DEBUG,
            "accelerator: %s; %s, it is tried again and again, next in %.0f s",
            error,
            "the CPU judges" if self._cpu else "nobody is judged",
            pause_s,
            extra=asks("accelerator") if self._trouble else None,
        )

    def _trouble_of(self, error: EdgeError) -> AcceleratorTrouble | None:
        """``auto`` minds one that broke, not one that never was."""
        if self._has_worked:
            return "lost"
        if not isinstance(error, TpuAbsent):
            return "failed"
        return "absent" if self._policy == "edgetpu" else None
