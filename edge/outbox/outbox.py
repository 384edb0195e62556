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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from edge.errors import Unavailable
from edge.events import new_epoch
from edge.journal import asks
from edge.outbox import store
from edge.outbox.store import About, Row, Store
from edge.outbox.unsaved import Note, Span

log = logging.getLogger(__name__)

FILE: Final = "outbox.sqlite"
NOTE: Final = "outbox.unsaved"
MEMORY_NOTE: Final = "outbox.memory"  # of an outbox that has no file: the other note may still wait to be read
SETTLE: Final = 100  # delivered events are deleted with the next one that comes, or so many at once: it spares the card
RETRY_S: Final = 5.0  # between attempts to write to a disk that refused
IN_MEMORY: Final = 10_000  # events at most while the disk takes none, 5 MB
NO_DISK: Final = "outbox: %s: events wait in memory only: make room, or look after the card"
TELL_EVERY: Final = 1000  # dropped events
ENDED_FULL: Final = "the run before ended while the disk took no events"


# A file with these can never be read again; with others (no room, read-only) it may be tomorrow.
BROKEN: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)


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
    losses: what was found to be lost, by this start and since. path: of the file; None where it must not be set aside.
    """

    def __init__(
        self,
        found: Found,
        note: Note,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        *,
        make: Callable[[str, int], Store] | None = None,
        path: Path | None = None,
    ) -> None:
        if limits.events < 1:
            raise ValueError(f"limits.events must be 1 or more, is {limits.events}")
        about = found.about
        self.epoch = about.epoch
        self.last_seq = max(about.last_seq, found.last_given)
        self.losses = found.losses
        self._disk = found.disk
        self._note = note
        self._limits = limits
        self._clock = clock
        self._make = make
        self._path = path
        self._lock = threading.Lock()
        self._trouble = found.trouble
        self._cannot_read: str | None = None
        self._retry_at_s = clock() + RETRY_S if found.trouble else 0.0
        self._unsaved: OrderedDict[int, Row] = OrderedDict()  # in memory only; all newer than what is on disk
        self._delivered: set[int] = set()  # still on disk
        self._on_disk = found.waiting
        self._saved_seq = about.last_seq  # the last number that the disk knows to be given
        self._dropped = self._dropped_noted = about.dropped
        self._start_s = clock() - found.newest_made_s

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
        """Why events wait in memory only, or cannot be read just now; None while all is well."""
        with self._lock:
            return self._trouble or self._cannot_read

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
        """The oldest undelivered event with a number above ``after`` (0: the oldest of all).

        None where there is none, or where the disk does not say: newer ones must not go before it. Ask again then.
        """
        with self._lock:
            row = self._next(after)
            return Waiting(row.seq, row.payload) if row else None

    def ack(self, seq: int) -> None:
        """The broker has the event. One that is not held (dropped, say) is passed over."""
        with self._lock:
            if self._unsaved.pop(seq, None) is None and self._is_on_disk(seq):
                self._delivered.add(seq)
            if self._unsaved or self.last_seq > self._saved_seq or len(self._delivered) >= SETTLE:
                self._save()
            self._note_unsaved()

    def save(self) -> int:
        """Write down what waits in memory, now; how many events the disk does not take."""
        with self._lock:
            self._retry_at_s = 0.0
            self._save()
            self._note_unsaved()
            return len(self._unsaved)

    def close(self) -> None:
        """Write down what is known, and let go of the file."""
        self.save()
        with self._lock:
            self._let_go()

    def _count(self) -> int:
        return self._on_disk - len(self._delivered) + len(self._unsaved)

    def _now_s(self) -> float:
        return self._clock() - self._start_s

    def _next(self, after: int) -> Row | None:
        try:
            row = self._disk.next(after) if self._disk else None
            while row and row.seq in self._delivered:
                row = self._disk.next(row.seq) if self._disk else None
        except sqlite3.Error as error:
            self._fail_to_read(error)
            return None
        self._cannot_read = None
        return row or next((r for seq, r in self._unsaved.items() if seq > after), None)

    def _is_on_disk(self, seq: int) -> bool:
        try:
            return self._disk is not None and self._disk.holds(seq)
        except sqlite3.Error as error:
            self._fail_to_read(error)
            return False

    def _save(self) -> None:
        """Bring the disk up to date: what waits in memory, without what is delivered."""
        is_behind = self._unsaved or self._delivered or self.last_seq > self._saved_seq
        if self._clock() < self._retry_at_s or not is_behind:
            return
        try:
            self._disk = self._disk or (self._make(self.epoch, self.last_seq) if self._make else None)
            if self._disk is None:
                return
            more = self._dropped - self._dropped_noted
            self._disk.put(list(self._unsaved.values()), self._delivered, last_seq=self.last_seq, dropped=more)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return
        if self._trouble:
            log.info("outbox: the disk takes events again; %d that waited in memory are saved", len(self._unsaved))
        self._trouble, self._retry_at_s, self._saved_seq = None, 0.0, self.last_seq
        self._on_disk += len(self._unsaved) - len(self._delivered)
        self._dropped_noted = self._dropped
        self._unsaved.clear()
        self._delivered.clear()

    def _fail(self, error: sqlite3.Error | OSError) -> None:
        self._retry_at_s = self._clock() + RETRY_S
        if self._trouble is None:
            log.error(NO_DISK, error, extra=asks("outbox_in_memory"))
        self._trouble = str(error)
        self._let_go_if_damaged(error)

    def _fail_to_read(self, error: sqlite3.Error) -> None:
        if self._cannot_read is None:
            text = "outbox: events cannot be read just now: %s: look after the card"
            log.error(text, error, extra=asks("outbox_unreadable"))
        self._cannot_read = str(error)
        self._let_go_if_damaged(error)

    def _let_go_if_damaged(self, error: Exception) -> None:
        """Set the file aside; the next event makes another. Numbers and epoch go on: both are known here, where a start
        has to begin anew. Where the file cannot be moved either, events wait in memory for the next start."""
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.OperationalError):
            return
        self._trouble, self._cannot_read = f"damaged: {error}", None
        lost = self._on_disk - len(self._delivered)
        self._let_go()
        if self._path is None:
            return
        try:
            aside = store.set_aside(self._path)
        except OSError as why:
            text = "outbox: %s is damaged and cannot be set aside: %s: look after the card"
            log.error(text, self._path, why, extra=asks("outbox_unreadable"))
            return
        loss = Loss(lost, f"{self._path} is damaged ({error}) and was set aside as {aside.name}")
        self.losses += (loss,)
        _tell(loss)

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
            text = "outbox: too many or too old: %d undelivered events were dropped, oldest first"
            log.error(text, self._dropped, extra=asks("events_dropped", events=self._dropped))

    def _note_unsaved(self) -> None:
        is_known = not self._unsaved and self.last_seq <= self._saved_seq
        first = next(iter(self._unsaved), self.last_seq + 1)
        if not is_known or self._disk:
            self._note.write(Span(self.epoch, first, self.last_seq, self._saved_seq))
        elif self._note.holds_span:
            self._note.write(None)


@dataclass(frozen=True, slots=True)
class Found:
    """What a start finds. disk: the open file, None where none can be had, for the reason in ``trouble``.

    about, waiting, newest_made_s: what stands in it. last_given: by the note, which may know of later numbers. losses:
    what is gone for good.
    """

    about: About
    disk: Store | None = None
    waiting: int = 0
    newest_made_s: float = 0.0
    last_given: int = 0
    losses: tuple[Loss, ...] = ()
    trouble: str | None = None


def open_outbox(folder: Path, limits: Limits = Limits(), clock: Callable[[], float] = time.monotonic) -> Outbox:
    """The outbox under the state folder, made where there is none.

    A damaged file is set aside and a new epoch begins; a folder that takes no file leaves an outbox in memory, which
    says so in ``trouble`` and makes its file as soon as it can. Raises Unavailable where another run holds it.
    """
    losses: list[Loss] = []
    try:
        found = _find(folder, losses)
    except (sqlite3.Error, OSError) as error:
        why = f"{folder / FILE}: {error}"
        log.error(NO_DISK, why, extra=asks("outbox_in_memory"))
        note = Note(folder / MEMORY_NOTE)
        lost = _of_another_epoch(note.read())
        found = Found(About(new_epoch(), 0, 0, 0), losses=(*losses, *lost), trouble=why)
        return _told(Outbox(found, note, limits, clock, make=partial(_make, folder)))
    make = partial(_make, folder)
    return _told(Outbox(found, Note(folder / NOTE), limits, clock, make=make, path=folder / FILE))


def _told(outbox: Outbox) -> Outbox:
    for loss in outbox.losses:
        _tell(loss)
    return outbox


def _tell(loss: Loss) -> None:
    count = "an unknown number of" if loss.count is None else loss.count
    log.error("outbox: %s events are lost: %s", count, loss.why, extra=asks("events_lost", events=loss.count))


def _find(folder: Path, losses: list[Loss]) -> Found:
    """Raises sqlite3.Error or OSError where no file can be had, Unavailable where another run holds it. losses: takes
    what a damaged file held."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    disk = _open(folder / FILE, losses)
    try:
        found = Found(disk.about(), disk, disk.count(), disk.newest_made_s())
        last_given, lost = _by_the_notes(folder, disk, found.about)
    except BaseException:
        disk.close()
        raise
    return replace(found, last_given=last_given, losses=(*losses, *lost))


def _make(folder: Path, epoch: str, last_seq: int) -> Store:
    """A file for an outbox that has been in memory, in which no number is free that was given there.

    One that is there now is of another epoch: the next start's.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = folder / FILE
    if path.exists():
        raise OSError(f"{path} is there and could not be opened at the start: see that it can be, then restart")
    store.create(path, epoch, last_seq)
    return Store(path)


def _open(path: Path, losses: list[Loss]) -> Store:
    if path.exists():
        try:
            return Store(path)
        except sqlite3.DatabaseError as error:
            if not _is_broken(error, path):
                raise
            aside = store.set_aside(path)
            why = f"{path} is damaged ({error}) and was set aside as {aside.name}"
            losses.append(Loss(store.count_rows(aside), why))
    store.create(path, new_epoch())
    return Store(path)


def _is_broken(error: sqlite3.DatabaseError, path: Path) -> bool:
    """Whether nothing will ever be read from the file. Raises Unavailable where it is only somebody else's just now."""
    if not isinstance(error, sqlite3.OperationalError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == sqlite3.SQLITE_BUSY:
        raise Unavailable(
            f"outbox {path} is used by another edge run",
            "end that one, or give this one a state folder of its own (XDG_STATE_HOME, or STATE_DIRECTORY)",
        ) from None
    return code in BROKEN


def _by_the_notes(folder: Path, disk: Store, about: About) -> tuple[int, tuple[Loss, ...]]:
    """The last number given, and what the runs before had in memory only when they ended without a word.

    Once the disk knows of it the notes are emptied; a disk that takes nothing leaves them to be read again.
    """
    note, memory = Note(folder / NOTE), Note(folder / MEMORY_NOTE)
    span, other = note.read(), memory.read()
    was_made = other is not None and other.epoch == about.epoch  # by the run in memory; it took nothing since
    if was_made:
        span, other = other, None
    losses = _of_another_epoch(other)
    if memory.is_blank():
        losses += (Loss(None, ENDED_FULL),)
    if span and span.epoch != about.epoch:
        losses += _of_another_epoch(span)
        span = None
    elif span and (was_made or span.last > about.last_seq):
        lost = (span if was_made else replace(span, first=max(span.first, about.last_seq + 1))).count
        rewound = 0 if was_made else max(0, min(span.saved, span.last) - about.last_seq)
        losses += _lost(lost)
        if rewound:
            why = f"{folder / FILE} is older than it was, it or its log is damaged"
            losses += (Loss(rewound, f"{why}; some of them may have been delivered"),)
        try:
            disk.lose(span.last, lost + rewound)
        except sqlite3.Error as error:
            log.error("outbox: %s: the loss will be reported again", error)
            return span.last, losses
    note.write(None)
    memory.write(None)
    return span.last if span else 0, losses


def _of_another_epoch(span: Span | None) -> tuple[Loss, ...]:
    return _lost(span.count) if span else ()


def _lost(count: int) -> tuple[Loss, ...]:
    return (Loss(count, ENDED_FULL),) if count else ()
