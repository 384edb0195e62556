"""SIGHUP: configuration and model are read again between two frames; nobody who is followed is lost."""

from __future__ import annotations

import dataclasses
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from edge.assemble import min_face_px, open_classifier, rules
from edge.classify import Judge
from edge.config import Config
from edge.errors import EdgeError
from edge.journal import asks
from edge.pipeline import Pipeline

log = logging.getLogger(__name__)

REFUSED: Final = "reload: refused, what was in force before still is"
# What takes effect at once; the rest belongs to what is open for as long as the process runs.
AT_ONCE: Final = ("classifier.", "decide.", "detector.min_face_px")


@dataclass(slots=True)
class Hangup:
    """Set by SIGHUP, looked at between frames."""

    asked: bool = False

    def ask(self, _number: int, _frame: object) -> None:
        self.asked = True


@contextmanager
def hearing_hangups(is_service: bool) -> Iterator[Hangup]:
    """Catch SIGHUP for as long as the block runs. At a terminal it keeps its meaning: the terminal was closed, stop."""
    hangup = Hangup()
    if not is_service:
        yield hangup
        return
    before = signal.signal(signal.SIGHUP, hangup.ask)
    try:
        yield hangup
    finally:
        signal.signal(signal.SIGHUP, before)


class Reloader:
    """The configuration in force, and how to get at the one in the file.

    reread: as the run was started, command line and all. use: is told of the classifier that judges from now on, and
    closes the one before: an Edge TPU is given to one process at a time, so the new one starts without it.
    refusal: why the last attempt found nothing that can be used, and what was in force before still is; else None.
    """

    def __init__(
        self, config: Config, reread: Callable[[], Config], pipeline: Pipeline, use: Callable[[Judge], None]
    ) -> None:
        self.refusal: str | None = None
        self._is_unreadable = False  # the configuration: a restart would fail over it, whatever model serves
        self._config = config  # as it was at the start: what is open was opened by it
        self._in_force = config
        self._reread = reread
        self._pipeline = pipeline
        self._use = use

    @property
    def is_refused(self) -> bool:
        return self.refusal is not None or self._is_unreadable

    def reload(self, *, rereads: bool = True) -> None:
        """Takes as long as a model does to load, a second or two. Never fails: what cannot be used is refused.

        rereads: the configuration, too; else the model alone, under the configuration in force: a file that is being
        edited must not keep the door from going back to the model that served before.
        """
        try:
            config = self._read() if rereads else self._in_force
            classifier = open_classifier(config, stays=True, waits=False)
            new_rules = rules(config, classifier)
        except (EdgeError, OSError) as error:
            self.refusal = str(error)
            log.error(REFUSED + ": %s", error, extra=asks("reload_refused"))
            return
        except Exception as error:  # a runtime's own word for a model it cannot take; people are in front of the camera
            self.refusal = f"{type(error).__name__}: {error}"
            log.exception(REFUSED, extra=asks("reload_refused"))
            return
        self.refusal, self._in_force = None, config
        self._pipeline.use(classifier, new_rules, min_face_px(config))
        self._use(classifier)
        log.info("reload: done, model %s", classifier.model)
        if later := [key for key in changed(self._config, config) if not key.startswith(AT_ONCE)]:
            keys = ", ".join(later)
            text = "reload: %s changed: restart the service to have it take effect"
            log.warning(text, keys, extra=asks("restart_needed", keys=keys))

    def _read(self) -> Config:
        self._is_unreadable = True
        config = self._reread()
        self._is_unreadable = False
        return config


def changed(before: Config, after: Config) -> list[str]:
    """Keys that differ, as ``section.key``."""
    return [
        f"{section.name}.{key.name}"
        for section in dataclasses.fields(before)
        for key in dataclasses.fields(getattr(before, section.name))
        if getattr(getattr(before, section.name), key.name) != getattr(getattr(after, section.name), key.name)
    ]
