"""The status file: the health object plus ``seq``, for whoever is logged in at the board (``edge status``).

And ``models``: the folder whose active model the daemon serves, null where it is told its model otherwise.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from edge.errors import Refused, Unavailable
from edge.health import REASONS, Facts, encode
from edge.journal import asks
from edge.living import Process, is_alive, this_process
from edge.models.trial import in_words
from edge.places import SYSTEM_RUNTIME, runtime_dir

log = logging.getLogger(__name__)

FILE: Final = "status.json"
MODE: Final = 0o640  # the owner writes, the group mask-edge reads
EVERY_S: Final = 5.0
FRESH_S: Final = 30.0  # opening a camera, the longest of what the daemon's loop does, takes 23 s

NOT_TOLD: Final = ("is_", "broker_reasons", "accelerator")  # fields of ``Facts`` that stand in ``reasons`` only
OURS: Final = ("seq", "models")
KEYS: Final = frozenset(
    ("status", "reasons", *OURS, *(f.name for f in fields(Facts) if not f.name.startswith(NOT_TOLD)))
)
WRITER: Final = "written_by"  # in the file only: who says all this, when, and for how long it holds


class Hangs(Unavailable):
    """A daemon is there, and says nothing any more."""


class StatusFile:
    """Written by the daemon into ``folder`` (None: nowhere), whole or not at all, and gone with it.

    Of two runs that share a folder (``jsonl:`` only: a broker's outbox keeps the second one out) the first is told of
    as long as it lasts. The kernel's lock on the folder goes with its process, whatever ends that.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder else None
        self._has_failed = False
        self._written = b""
        self._lock: int | None = None  # an open descriptor of the folder
        self._process = this_process()

    def write(self, status: dict[str, Any]) -> None:
        """Never fails: that nobody can ask for its health is no reason for a door to stop."""
        if self._path is None:
            return
        beside = self._path.with_name(f".{FILE}.new")
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not self._is_ours(self._path.parent):
                return
            self._written = encode({**status, WRITER: self._writer()})
            beside.write_bytes(self._written)
            beside.chmod(MODE)  # whatever the umask
            beside.replace(self._path)
        except OSError as error:
            if not self._has_failed:
                text = "status: %s cannot be written (%s): 'edge status' will say nothing"
                log.warning(text, self._path, error, extra=asks("status_unwritten"))
            self._has_failed = True

    def _writer(self) -> dict[str, Any]:
        """With the time by the clock that all processes of one boot share, and that nobody sets."""
        return {**asdict(self._process), "at_mono_s": round(time.monotonic(), 3), "fresh_s": FRESH_S}

    def remove(self) -> None:
        """Ours only."""
        if self._path is not None:
            with suppress(OSError):
                if self._path.read_bytes() == self._written:
                    self._path.unlink()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _is_ours(self, folder: Path) -> bool:
        if self._lock is not None:
            return True
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                return True  # a file system without locks: nothing can be told, and nothing is worse than before
            if not self._has_failed:
                log.info("status: another run tells its status in %s: 'edge status' is of that one", folder)
            self._has_failed = True
            return False
        self._lock, self._has_failed = lock, False
        return True


def places() -> list[Path]:
    """Where a daemon's status file may be: the user's own daemon, and the system's."""
    folders = dict.fromkeys((runtime_dir() or SYSTEM_RUNTIME, SYSTEM_RUNTIME))
    return [folder / FILE for folder in folders]


def read_status(paths: list[Path]) -> dict[str, Any]:
    """What the daemon that wrote last, among those that live, says of itself: the health object plus ``seq``.

    Raises Unavailable where there is none, or it has been silent for too long; Refused where this user may not read it.
    """
    found = sorted(((at_s, path) for path in paths if (at_s := written_s(path)) is not None), reverse=True)
    if not found:
        where = " or ".join(map(str, paths))
        raise Unavailable(f"no daemon tells its status at {where}: is one running? (systemctl status mask-edge)")
    answers = [of_a_living_one(path) for _, path in found]
    for answer in answers:
        if not isinstance(answer, Unavailable):
            return answer
    assert isinstance(answers[0], Unavailable)
    raise answers[0]


def of_a_living_one(path: Path) -> dict[str, Any] | Unavailable:
    """The status in this file, or why it must not be believed."""
    try:
        status = json.loads(path.read_bytes())
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user: add it to the group mask-edge") from error
    except (OSError, ValueError) as error:
        return Unavailable(f"{path} cannot be read ({error}): ask again")
    if not isinstance(status, dict) or not status.keys() >= KEYS or not isinstance(status["reasons"], list):
        return Unavailable(f"{path} is not as this version writes it: restart the daemon after an update")
    return doubt(path, status.pop(WRITER, None)) or status


def doubt(path: Path, writer: Any) -> Unavailable | None:
    """Why what this writer said does not hold any more; None where it does."""
    try:
        process = Process(int(writer["pid"]), writer["started"])
        age_s, fresh_s = time.monotonic() - writer["at_mono_s"], float(writer["fresh_s"])
        alive = is_alive(process)
    except (TypeError, KeyError, ValueError, OverflowError):
        return Unavailable(f"{path} is not as this version writes it: restart the daemon after an update")
    if not alive:
        return Unavailable(
            f"no daemon runs: process {process.pid}, which wrote {path}, was killed or crashed: see 'systemctl status "
            "mask-edge' and 'journalctl -u mask-edge'"
        )
    if age_s > fresh_s:
        return Hangs(
            f"the daemon hangs: process {process.pid} lives, and has not written {path} for {age_s:.0f} s: its "
            "watchdog will end it, else 'systemctl restart mask-edge'"
        )
    return None


def written_s(path: Path) -> float | None:
    """When, seconds since 1970; None where there is none. Raises Refused where its folder may not be looked into."""
    try:
        return path.stat().st_mtime
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user: add it to the group mask-edge") from error
    except OSError:
        return None


def table(status: dict[str, Any]) -> str:
    """For people: what is wrong with what to do, then the facts, one a line."""
    wrong = [f"  {reason:<18} {REASONS.get(reason, '')}".rstrip() for reason in status["reasons"]]
    seen = ago("last frame", status["frame_age_s"], "no frame yet")
    rows = {
        "status": status["status"],
        "camera": f"{status['camera']}, {status['fps']} frames/s, {seen}",
        "model": status["model"],
        **({} if status["trial"] is None else {"trial": in_words(status["trial"])}),
        "broker": "none" if status["outbox"] is None else ago("acknowledged", status["last_ack_s"], "not reached yet"),
        "outbox": outbox(status["outbox"]),
        "last event": f"number {status['seq']}",
        "board": board(status),
        "clock": status["clock"],
        "running": f"{duration(status['uptime_s'])}, {status['rss_mb']} MiB",
    }
    lines = [f"{name:<11} {value}" for name, value in rows.items()]
    return "\n".join([lines[0], *wrong, *lines[1:]])


def ago(what: str, seconds: float | None, never: str) -> str:
    return never if seconds is None else f"{what} {seconds} s ago"


def outbox(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "none"
    oldest = f", the oldest for {duration(facts['oldest_s'])}" if facts["depth"] else ""
    lost = "an unknown number" if facts["lost"] is None else facts["lost"]
    return f"{facts['depth']} events wait{oldest}; {facts['dropped']} dropped, {lost} lost"


def board(status: dict[str, Any]) -> str:
    heat = "no thermometer" if status["temperature_c"] is None else f"{status['temperature_c']} C"
    throttled = status["throttled"]
    if throttled is None:
        return heat
    now, before = ", ".join(throttled["now"]) or "not throttled", ", ".join(throttled["since_boot"])
    return f"{heat}, {now}" + (f" (since boot: {before})" if before else "")


def duration(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for unit, size_s in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
