"""The models folder of a device: bundles as ``NAME@SHA12/``, the links ``active`` and ``previous``, and ``trial.json``.

Whatever kills a step, or cuts the power, ``active`` names a whole bundle: the one before or the one after. What is
written beside has a hidden name that ends in ``.new``, and nobody takes it for a bundle.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge.bundle import NAME, SIGNATURE, read_manifest_bytes, verify_bundle
from edge.durable import (
    BESIDE,
    beside_of,
    make_folder,
    point,
    remove_folder,
    rename,
    replace_file,
    sync_tree,
)
from edge.errors import Busy, DataError, DiskError, EdgeError, Refused
from edge.models.trial import Trial, decode, encode
from edge.places import SHIPPED_BUNDLE, shipped_models, state_dir

log = logging.getLogger(__name__)

TAG: Final = re.compile(rf"{NAME.pattern}@[0-9a-f]{{12}}")
KEEP: Final = 5
RESERVE_BYTES: Final = 16 << 20  # of disk that stays free: events wait there
Stamp = tuple[int, int] | None
SWITCH_S: Final = 10.0  # a switch is a handful of renames


class Store:
    """folder: ``models`` under the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.active_link, self.previous_link = folder / "active", folder / "previous"
        self.trial_file = folder / "trial.json"

    # What is there.

    def path(self, tag: str) -> Path:
        return self.folder / tag

    def tags(self) -> list[str]:
        """Installed bundles, the latest first."""
        if not self.folder.is_dir():
            return []
        found = [entry for entry in self.folder.iterdir() if TAG.fullmatch(entry.name) and not entry.is_symlink()]
        return [entry.name for entry in sorted(found, key=lambda e: e.stat().st_mtime_ns, reverse=True)]

    def active(self) -> str | None:
        """The tag that ``active`` points to; None where the model that came with this version serves."""
        return target(self.active_link)

    def previous(self) -> str | None:
        return target(self.previous_link)

    def serving(self) -> str:
        """The tag of what a daemon loads now. Raises EdgeError where that is not there."""
        return self.active() or tag_of(shipped())

    def trial(self) -> Trial | None:
        """The latest trial; None where there was none, or its record cannot be read."""
        try:
            return decode(self.trial_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("trial: %s: %s: it counts as none", self.trial_file, error)
            return None

    def is_to_stay(self) -> set[str]:
        """Tags that must not be deleted: in use, or gone back to."""
        trial = self.trial()
        on_trial = (trial.model, trial.previous, trial.older) if trial and trial.is_open else ()
        return {tag for tag in (self.active(), self.previous(), *on_trial) if tag}

    # Who may change it.

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One command at a time, from its first look to the switch. Raises Busy where another one is at it."""
        self._make()
        with locked(self.folder / ".lock", 0.0) as is_ours:
            if not is_ours:
                raise Busy(f"another 'edge model' command is changing {self.folder}", "try again when it is done")
            yield

    @contextmanager
    def switching(self) -> Iterator[None]:
        """For the moment in which the links and the record of the trial change; a daemon does it, too."""
        self._make()
        with locked(self.folder / ".switch", SWITCH_S) as is_ours:
            if not is_ours:
                raise Busy(f"{self.folder} has been locked for {SWITCH_S:g} s by another process", "try again")
            yield

    def _make(self) -> None:
        try:
            self.folder.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            make_folder(self.folder)
        except PermissionError as error:
            raise Refused(
                f"{self.folder} may not be written by this user", "run this as root or as the daemon's user"
            ) from error

    # Bundles come and go; only while ``changing``.

    def stage(self) -> Path:
        """An empty folder for a bundle that is not installed yet. What a killed command left behind goes first."""
        for entry in self.folder.iterdir():
            if entry.name.startswith(".") and entry.name.endswith(BESIDE) and entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
        staging = self.folder / f".install{BESIDE}"
        make_folder(staging)
        return staging

    def need(self, count: int) -> None:
        """Raises DiskError where so many bytes more would not leave enough for events."""
        free = shutil.disk_usage(self.folder).free
        if free < count + RESERVE_BYTES:
            raise DiskError(
                f"{self.folder} has {mib(free)} MiB free; {mib(count)} are needed, and {mib(RESERVE_BYTES)} stay free "
                "for events",
                "make room",
            )

    def admit(self, staging: Path, tag: str) -> None:
        """Give what was staged and verified its name. A bundle that is there already and whole stays, but for a new
        signature; a damaged one is replaced."""
        dated(staging, [self.path(other) for other in self.tags()])
        sync_tree(staging)
        final = self.path(tag)
        if not os.path.lexists(final):
            rename(staging, final)
        elif is_whole(final, tag):
            if (staging / SIGNATURE).is_file():
                rename(staging / SIGNATURE, final / SIGNATURE)
            shutil.rmtree(staging)
        else:
            log.warning("%s was damaged: it is replaced", final)
            rename(final, beside_of(final))
            rename(staging, final)
            shutil.rmtree(beside_of(final))

    def prune(self, keep: int, but: str) -> list[str]:
        """Delete all but the latest ``keep``; never what is active, previous, on trial or ``but``. What went."""
        stays = self.is_to_stay() | {but}
        rest = [tag for tag in self.tags() if tag not in stays]
        room = max(0, keep - (len(self.tags()) - len(rest)))
        for tag in rest[room:]:
            remove_folder(self.path(tag))
        return rest[room:]

    # The switch. Each of these is whole in itself: killed anywhere, ``settle`` ends it.

    def begin(self, trial: Trial, *, then: Trial | None = None) -> None:
        """Make ``trial.model`` the active one. then: the record once it is, where there is nothing to try; until then a
        kill leaves one that ``settle`` can end."""
        with self.switching():
            self._save(trial)
            point(self.previous_link, self._link_to(trial.previous))
            point(self.active_link, self._link_to(trial.model))
            if then:
                self._save(then)

    def go_back(self, tag: str, why: str) -> Trial | None:
        """End the trial of ``tag``: what served before is active again, and the links are as they were. Returns the
        record as it is then; where that trial is over already, nothing is done."""
        with self.switching():
            trial = self.trial()
            if trial is None or not trial.is_open or trial.model != tag:
                return trial
            return self._go_back(dataclasses.replace(trial, state="going_back", why=why))

    def save(self, trial: Trial, seen: Stamp) -> bool:
        """Write the record anew, unless somebody else wrote it since it was ``seen``."""
        with self.switching():
            if self.stamp() != seen:
                return False
            self._save(trial)
            return True

    def stamp(self) -> Stamp:
        """Tells one writing of the record from another."""
        try:
            found = self.trial_file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def settle(self) -> Trial | None:
        """End what a kill or a power cut left half done; the latest trial as it is then."""
        trial = self.trial()
        if trial is None or not trial.is_open:
            return trial
        with self.switching():
            trial = self.trial()
            if trial is None or not trial.is_open:
                return trial
            if trial.state == "going_back":
                return self._go_back(trial)
            if self.active() != self._link_to(trial.model):
                return self._call_off(trial)
            return trial

    def _call_off(self, trial: Trial) -> Trial:
        """It is on trial and not active: killed before the switch, or somebody set the link by hand, and that stays."""
        if self.active() == self._link_to(trial.previous):
            point(self.previous_link, trial.older and self._link_to(trial.older))
        done = dataclasses.replace(trial, state="rolled_back", why="it is not active: the switch was cut off", boot="")
        self._save(done)
        return done

    def _go_back(self, trial: Trial) -> Trial:
        with suppress_full_disk():
            self._save(trial)
        point(self.active_link, self._link_to(trial.previous))
        point(self.previous_link, trial.older and self._link_to(trial.older))
        done = dataclasses.replace(trial, state="rolled_back", boot="")
        with suppress_full_disk():
            self._save(done)
        return done

    def _save(self, trial: Trial) -> None:
        replace_file(self.trial_file, encode(trial))

    def _link_to(self, tag: str) -> str | None:
        """None, no link, where it is not installed: it came with this version."""
        return tag if self.path(tag).is_dir() else None


def this_store() -> Store:
    return Store(state_dir() / "models")


def shipped() -> Path:
    return shipped_models() / SHIPPED_BUNDLE


def target(link: Path) -> str | None:
    try:
        return link.readlink().name
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{link} is no link", "take it away") from error


def tag_of(bundle: Path) -> str:
    """A bundle's name in events, from its bundle.json alone: nothing else is looked at."""
    raw = read_manifest_bytes(bundle)
    try:
        name = json.loads(raw)["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"bundle {bundle}: bundle.json is not a manifest", "copy or export it again") from error
    return f"{name}@{hashlib.sha256(raw).hexdigest()[:12]}"


def is_whole(bundle: Path, tag: str) -> bool:
    try:
        return verify_bundle(bundle)[1] == tag
    except (EdgeError, OSError):
        return False


def dated(folder: Path, others: list[Path]) -> None:
    """The latest of all, whatever a board without a clock takes the time to be."""
    latest_ns = max((other.stat().st_mtime_ns for other in others), default=0)
    now_ns = max(time.time_ns(), latest_ns + 1_000_000_000)
    os.utime(folder, ns=(now_ns, now_ns))


@contextmanager
def locked(path: Path, patience_s: float) -> Iterator[bool]:
    """Hold a lock file for the block, if it is to be had in time; the kernel gives it back whatever ends us."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise Refused(f"{path} may not be used by this user", "run this as root or as the daemon's user") from error
    try:
        yield is_taken(fd, time.monotonic() + patience_s)
    finally:
        os.close(fd)


def is_taken(fd: int, until_s: float) -> bool:
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= until_s:
            return False
        time.sleep(0.05)


@contextmanager
def suppress_full_disk() -> Iterator[None]:
    """To go back matters more than to have it written down why."""
    try:
        yield
    except OSError as error:
        log.error("trial: its record cannot be written: %s", error)


def mib(count: int) -> str:
    return f"{count / 2**20:.1f}"
