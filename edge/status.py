"""The status file: the health object plus ``seq``, for whoever is logged in at the board (``edge status``).

And ``models``: the folder whose active model the daemon serves, null where it is told its model otherwise.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from edge.errors import Refused, Unavailable
from edge.health import REASONS, Facts, encode
from edge.models.trial import in_words
from edge.places import SYSTEM_RUNTIME, runtime_dir

log = logging.getLogger(__name__)

FILE: Final = "status.json"
MODE: Final = 0o640  # the owner writes, the group mask-edge reads
EVERY_S: Final = 5.0
STALE_S: Final = 60.0  # opening a camera, the longest of what the daemon's loop does, takes 20 s


OURS: Final = ("seq", "models")
KEYS: Final = frozenset(("status", "reasons", *OURS, *(f.name for f in fields(Facts) if not f.name.startswith("is_"))))


class StatusFile:
    """Written by the daemon into ``folder`` (None: nowhere), whole or not at all, and gone with it."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder else None
        self._has_failed = False
        self._written = b""

    def write(self, status: dict[str, Any]) -> None:
        """Never fails: that nobody can ask for its health is no reason for a door to stop."""
        if self._path is None:
            return
        beside = self._path.with_name(f".{FILE}.new")
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._written = encode(status)
            beside.write_bytes(self._written)
            beside.chmod(MODE)  # whatever the umask
            beside.replace(self._path)
        except OSError as error:
            if not self._has_failed:
                log.warning("status: %s cannot be written (%s): 'edge status' will say nothing", self._path, error)
            self._has_failed = True

    def remove(self) -> None:
        """Ours only: another run may have written its own there meanwhile."""
        if self._path is not None:
            with suppress(OSError):
                if self._path.read_bytes() == self._written:
                    self._path.unlink()


def places() -> list[Path]:
    """Where a daemon's status file may be: the user's own daemon, and the system's."""
    folders = dict.fromkeys((runtime_dir() or SYSTEM_RUNTIME, SYSTEM_RUNTIME))
    return [folder / FILE for folder in folders]


def read_status(paths: list[Path], clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The newest status among the files. Raises Unavailable where there is none or it is stale, Refused where this user
    may not read it."""
    found = [(path.stat().st_mtime, path) for path in paths if is_there(path)]
    if not found:
        where = " or ".join(map(str, paths))
        raise Unavailable(f"no daemon tells its status at {where}: is one running? (systemctl status mask-edge)")
    written_s, path = max(found)
    if (age_s := clock() - written_s) > STALE_S:
        raise Unavailable(
            f"{path} is {age_s:.0f} s old: the daemon hangs, was killed, or this machine's clock was set just now: ask "
            "again in a minute, then see 'systemctl status mask-edge'"
        )
    try:
        status = json.loads(path.read_bytes())
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user: add it to the group mask-edge") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"{path} cannot be read ({error}): ask again") from error
    if not isinstance(status, dict) or not status.keys() >= KEYS or not isinstance(status["reasons"], list):
        raise Unavailable(f"{path} is not as this version writes it: restart the daemon after an update")
    return status


def is_there(path: Path) -> bool:
    """Raises Refused where its folder may not be looked into."""
    try:
        path.stat()
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user: add it to the group mask-edge") from error
    except OSError:
        return False
    return True


def table(status: dict[str, Any]) -> str:
    """For people: what is wrong with what to do, then the facts, one a line."""
    wrong = [f"  {reason:<17} {REASONS.get(reason, '')}".rstrip() for reason in status["reasons"]]
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
