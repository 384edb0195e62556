"""Ctrl-C that cannot get lost, and processes that do not hear it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


class Interrupts:
    """A context manager that remembers Ctrl-C until ``check``.

    Python raises KeyboardInterrupt wherever it happens to be; in a callback or destructor (TensorFlow has many)
    it is printed and forgotten. Here it is not printed, and not forgotten.
    """

    def __init__(self) -> None:
        self._heard = False
        self._in_main = current_thread() is main_thread()
        self._signal_before = signal.getsignal(signal.SIGINT)
        self._hook_before = sys.unraisablehook

    def __enter__(self) -> Interrupts:
        if self._in_main:
            signal.signal(signal.SIGINT, self._hear)
            sys.unraisablehook = self._swallowed
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main:
            signal.signal(signal.SIGINT, self._signal_before)
            sys.unraisablehook = self._hook_before

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._heard = True
        raise KeyboardInterrupt

    def _swallowed(self, what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            self._hook_before(what)

    def check(self) -> None:
        """Raises KeyboardInterrupt where there was one."""
        if self._heard:
            raise KeyboardInterrupt


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started within do not hear Ctrl-C, not even while they start: it is the parent's to handle."""
    if current_thread() is not main_thread():
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
