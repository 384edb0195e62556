"""The outbox: each event is on disk before it counts as decided, and leaves only when the broker has it.

A disk that is full, read-only or broken never reaches the pipeline: events then wait in memory, which is said, and go
to disk, in order, as soon as it takes them again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import Unavailable
from edge.events import new_epoch
from edge.outbox import store
from edge.outbox.store import About, Row, Store
from edge.outbox.unsaved import Note, Span

log = logging.getLogger(__name__)

FILE: Final = "outbox.sqlite"
NOTE: Final = "outbox.unsaved"
SETTLE: Final = 100  # delivered events are deleted with the next one that comes, or so many at once: it spares the card
RETRY_S: Final = 5.0  # between attempts to write to a disk that refused
IN_MEMORY: Final = 10_000  # events at most while the disk takes none, 5 MB
TELL_EVERY: Final = 1000  # dropped events


@dataclass(frozen=True, slots=True)
class Limits:
    """events: the most that wait on disk; the oldest make room. age_s: the longest, in seconds that the daemon ran: a
    board without a clock does not know how long it was off, and a clock that is set must not empty the outbox."""

    events: int = 100_000
    age_s: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that the broker has not acknowledged. seq: its number, rising."""

    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that can never reach the broker any more. count: None where nobody can tell. why: for the log."""

    count: int | None
    why: str


class Outbox:
    """Any thread may call; a call takes as long as the disk does. Made by ``open_outbox``.

    epoch: born with the file. last_seq: the last number given, 0 for none; it counts on over restarts.
    losses: what this start found to be lost.
    """

    def __init__(
        self,
        disk: Store | None,
        note: Note,
        limits: Limits,
        *,
        about: About,
        trouble: str | None = None,
        losses: tuple[Loss, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if limits.events < 1:
            raise ValueError(f"limits.events must be 1 or more, is {limits.events}")
        self.epoch = about.epoch
        self.last_seq = about.last_seq
        self.losses = losses
        self._disk = disk
        self._note = note
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._trouble = trouble
        self._retry_at_s = 0.0
        self._unsaved: OrderedDict[int, Row] = OrderedDict()  # in memory only; all newer than what is on disk
        self._delivered: set[int] = set()  # still on disk
        self._on_disk = disk.count() if disk else 0
        self._dropped = self._dropped_noted = about.dropped
        self._start_s = clock() - (disk.newest_made_s() if disk else 0.0)

    @property
    def waiting(self) -> int:
        """Events that are not delivered."""
        with self._lock:
            return self._count()

    @property
    def dropped(self) -> int:
        """Events of this epoch that made room for newer ones, or grew too old, before the broker had them."""
        with self._lock:
            return self._dropped

    @property
    def trouble(self) -> str | None:
        """Why events wait in memory only; None while the disk takes them."""
        with self._lock:
            return self._trouble

    @property
    def oldest_s(self) -> float:
        """Age of the oldest event that is not delivered, seconds of running time; 0 where there is none."""
        with self._lock:
            row = self._next(0)
            return max(0.0, self._now_s() - row.made_s) if row else 0.0

    def put(self, seq: int, payload: bytes) -> None:
        """Hold the event; on disk when this returns, unless there is ``trouble``. seq: larger than all before."""
        with self._lock:
            if seq <= self.last_seq:
                raise ValueError(f"event {seq} after {self.last_seq}")
            self.last_seq = seq
            self._unsaved[seq] = Row(seq, self._now_s(), payload)
            self._save()
            self._make_room()
            self._note_unsaved()

    def next(self, after: int) -> Waiting | None:
        """The oldest undelivered event with a number above ``after`` (0: the oldest of all), or None."""
        with self._lock:
            row = self._next(after)
            return Waiting(row.seq, row.payload) if row else None

    def ack(self, seq: int) -> None:
        """The broker has the event. One that is not held (dropped, say) is passed over."""
        with self._lock:
            if self._unsaved.pop(seq, None) is None and self._is_on_disk(seq):
                self._delivered.add(seq)
            if self._unsaved or len(self._delivered) >= SETTLE:
                self._save()
            self._note_unsaved()

    def close(self) -> None:
        """Write down what is known, and let go of the file."""
        with self._lock:
            self._retry_at_s = 0.0
            self._save()
            self._note_unsaved()
            self._let_go()

    def _count(self) -> int:
        return self._on_disk - len(self._delivered) + len(self._unsaved)

    def _now_s(self) -> float:
        return self._clock() - self._start_s

    def _next(self, after: int) -> Row | None:
        row = self._read(after)
        while row and row.seq in self._delivered:
            row = self._read(row.seq)
        return row or next((r for seq, r in self._unsaved.items() if seq > after), None)

    def _read(self, after: int) -> Row | None:
        try:
            return self._disk.next(after) if self._disk else None
        except sqlite3.Error as error:
            self._fail(error)
            return None

    def _is_on_disk(self, seq: int) -> bool:
        try:
            return self._disk is not None and self._disk.holds(seq)
        except sqlite3.Error as error:
            self._fail(error)
            return False

    def _save(self) -> None:
        """Bring the disk up to date: what waits in memory, without what is delivered."""
        if self._disk is None or self._clock() < self._retry_at_s or not (self._unsaved or self._delivered):
            return
        try:
            self._disk.put(self._unsaved.values(), self._delivered, self._dropped - self._dropped_noted)
        except sqlite3.Error as error:
            self._fail(error)
            return
        if self._trouble:
            log.info("outbox: the disk takes events again; %d that waited in memory are saved", len(self._unsaved))
        self._trouble, self._retry_at_s = None, 0.0
        self._on_disk += len(self._unsaved) - len(self._delivered)
        self._dropped_noted = self._dropped
        self._unsaved.clear()
        self._delivered.clear()

    def _fail(self, error: sqlite3.Error) -> None:
        self._retry_at_s = self._clock() + RETRY_S
        if self._trouble is None:
            log.error("outbox: %s: events wait in memory only: make room, or look after the card", error)
        self._trouble = str(error)
        if not isinstance(error, sqlite3.OperationalError):  # damaged: the next start sets it aside
            self._let_go()

    def _let_go(self) -> None:
        if self._disk:
            with suppress(sqlite3.Error):
                self._disk.close()
        self._disk, self._on_disk = None, 0
        self._delivered.clear()

    def _make_room(self) -> None:
        if len(self._unsaved) > IN_MEMORY:
            self._unsaved.popitem(last=False)
            self._tell_dropped(1)
        if self._disk is None or self._trouble:
            return
        too_many, oldest_s = self._count() - self._limits.events, self._now_s() - self._limits.age_s
        try:
            oldest = self._disk.next(0)
            up_to = self._disk.older_than(oldest_s) if oldest and oldest.made_s < oldest_s else 0
            if too_many > 0:  # nothing on disk is delivered here: it has just been saved
                up_to = max(up_to, self._disk.nth(too_many))
            if up_to:
                gone = self._disk.drop(up_to)
                self._on_disk -= gone
                self._dropped_noted += gone
                self._tell_dropped(gone)
        except sqlite3.Error as error:
            self._fail(error)

    def _tell_dropped(self, more: int) -> None:
        before, self._dropped = self._dropped, self._dropped + more
        if before == 0 or before // TELL_EVERY != self._dropped // TELL_EVERY:
            log.error("outbox: too many or too old: %d undelivered events were dropped, oldest first", self._dropped)

    def _note_unsaved(self) -> None:
        first = next(iter(self._unsaved), None)
        self._note.write(None if first is None else Span(self.epoch, first, self.last_seq))


def open_outbox(folder: Path, limits: Limits = Limits(), clock: Callable[[], float] = time.monotonic) -> Outbox:
    """The outbox under the state folder, made where there is none.

    A damaged file is set aside and a new epoch begins; a folder that takes no file leaves an outbox in memory, which
    says so in ``trouble``. Raises Unavailable where another run holds it.
    """
    path, note = folder / FILE, Note(folder / NOTE)
    losses: list[Loss] = []
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        disk = _open(path, losses)
    except (sqlite3.Error, OSError) as error:
        why = f"{path}: {error}"
        log.error("outbox: %s: events wait in memory only: make room, or look after the card", why)
        return Outbox(None, note, limits, about=About(new_epoch(), 0, 0, 0), trouble=why, clock=clock)
    losses += _after_the_note(note, disk)
    for loss in losses:
        log.error(
            "outbox: %s events are lost: %s", "an unknown number of" if loss.count is None else loss.count, loss.why
        )
    return Outbox(disk, note, limits, about=disk.about(), losses=tuple(losses), clock=clock)


def _open(path: Path, losses: list[Loss]) -> Store:
    if path.exists():
        try:
            return Store(path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise Unavailable(
                    f"outbox {path} is used by another edge run: end that one, or give this one a state folder of its "
                    "own (XDG_STATE_HOME)"
                ) from None
            raise
        except sqlite3.DatabaseError as error:
            aside = store.set_aside(path)
            losses.append(
                Loss(store.count_rows(aside), f"{path} is damaged ({error}) and was set aside as {aside.name}")
            )
    store.create(path, new_epoch())
    return Store(path)


def _after_the_note(note: Note, disk: Store) -> list[Loss]:
    """What the run before had in memory only when it ended without a word; then the note is empty."""
    span, about = note.read(), disk.about()
    why = "the run before ended while the disk took no events"
    losses = []
    if span and span.epoch != about.epoch:
        losses = [Loss(span.last - span.first + 1, why)]
    elif span and span.last > about.last_seq:
        lost = span.last - max(span.first - 1, about.last_seq)
        disk.lose(span.last, lost)
        losses = [Loss(lost, why)]
    note.write(None)
    return losses
