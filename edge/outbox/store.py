"""The table on disk: rows of one epoch, in SQLite, in the order of their numbers.

Every call is one transaction and raises ``sqlite3.Error``; what that means for a door is decided in ``outbox``.
https://www.sqlite.org/wal.html: with WAL and ``synchronous=FULL`` a committed row survives a power cut, as far as the
card tells the truth about what it has written.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCHEMA: Final = """
CREATE TABLE event (seq INTEGER PRIMARY KEY, made_s REAL NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE about (only INTEGER PRIMARY KEY CHECK (only = 1), epoch TEXT NOT NULL, last_seq INTEGER NOT NULL,
                    dropped INTEGER NOT NULL, lost INTEGER NOT NULL);
"""
SCHEMA_VERSION: Final = 2
COLUMNS: Final = "seq, CAST(made_s AS REAL), CAST(payload AS BLOB), CAST(crc AS INTEGER)"  # damage may change a type
WAIT_S: Final = 5.0  # for another process that holds the file: a run that is just ending
CHECKPOINT_PAGES: Final = 256  # the WAL is written back to the table at 1 MiB, and overwritten from its start
_SIDE_FILES: Final = ("-wal", "-journal", "-shm")


@dataclass(frozen=True, slots=True)
class Row:
    """seq: number of the event. made_s: when, on the outbox's own clock. payload: the event's bytes."""

    seq: int
    made_s: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class About:
    """epoch: 6 characters. last_seq: the last number known to be given, also to rows that are gone.

    dropped, lost: events of this epoch that made room for newer ones, and that a power cut or a kill took from memory.
    """

    epoch: str
    last_seq: int
    dropped: int
    lost: int


def create(path: Path, epoch: str, last_seq: int = 0) -> None:
    """An empty outbox at ``path``, whole or not at all.

    last_seq: the number given last in this epoch. The log of one that was there before must not get into it.
    """
    beside = path.with_name(path.name + ".new")
    for old in (beside, *_side_files(beside), *_side_files(path)):
        old.unlink(missing_ok=True)
    with closing(sqlite3.connect(beside)) as db:
        db.executescript(SCHEMA)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("INSERT INTO about VALUES (1, ?, ?, 0, 0)", (epoch, last_seq))
        db.commit()
    _sync(beside)
    beside.rename(path)
    _sync(path.parent)


def set_aside(path: Path) -> Path:
    """Move a file that cannot be used out of the way, its log first: a log without its table does no harm to the next.

    Only the last one is kept, so that a failing card does not fill itself.
    """
    aside = path.with_name(path.name + ".broken")
    for suffix in (*_SIDE_FILES, ""):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.rename(f"{aside}{suffix}")
        else:
            Path(f"{aside}{suffix}").unlink(missing_ok=True)
    _sync(path.parent)
    return aside


def count_rows(path: Path) -> int | None:
    """How many events a broken file held: from the oldest to the newest; None where either cannot be read any more."""
    ends: list[int] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.Error):
                ends += db.execute(f"SELECT seq FROM event ORDER BY seq {order} LIMIT 1").fetchone() or ()
    return ends[1] - ends[0] + 1 if len(ends) == 2 else None


def is_sound(path: Path) -> bool:
    """Whether the file as it stands is an outbox in order. Looks only: its log is left out, no lock is taken."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
        is_whole = bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        return is_whole and bool(db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,))
    return False


class Store:
    """An open outbox file, held by this process alone. Calls come from one thread at a time.

    Raises sqlite3.OperationalError where another process holds it or the disk refuses, sqlite3.DatabaseError where it
    is damaged or is no outbox.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        # Exclusive before WAL: there is then no shared memory file, which a full disk could not give, and the lock
        # keeps a second run out. Both pragmas are set on purpose: builds of SQLite differ in what they take by default.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        if self._db.execute("PRAGMA user_version").fetchone() != (SCHEMA_VERSION,):
            raise sqlite3.DatabaseError("not an outbox of this version")
        with self._transaction():  # takes the lock
            self.about()
        for found in self._db.execute(f"SELECT {COLUMNS} FROM event"):
            _row(found)

    def close(self) -> None:
        self._db.close()

    def about(self) -> About:
        row = self._db.execute("SELECT epoch, last_seq, dropped, lost FROM about").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it does not say which epoch it is of")
        epoch, last_seq, dropped, lost = row
        newest = self._db.execute("SELECT max(seq) FROM event").fetchone()[0] or 0
        return About(epoch, max(last_seq, newest), dropped, lost)

    def put(self, rows: Sequence[Row], delivered: Iterable[int], *, last_seq: int, dropped: int = 0) -> None:
        """Hold these rows, durably; in the same transaction let go of delivered ones, and count dropped ones.

        last_seq: the last number given, which no row may tell of: its event may have left from memory.
        """
        with self._transaction():
            self._delete(delivered)
            values = [(r.seq, r.made_s, r.payload, checksum(r)) for r in rows]
            self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", values)
            if not rows or rows[-1].seq < last_seq:
                self._db.execute("UPDATE about SET last_seq = max(last_seq, ?)", (last_seq,))
            if dropped:
                self._db.execute("UPDATE about SET dropped = dropped + ?", (dropped,))

    def drop(self, up_to: int) -> int:
        """Give up the events with numbers up to ``up_to``, and count them; returns how many that were."""
        with self._transaction():
            gone = self._db.execute("DELETE FROM event WHERE seq <= ?", (up_to,)).rowcount
            self._db.execute("UPDATE about SET dropped = dropped + ?, last_seq = max(last_seq, ?)", (gone, up_to))
        return gone

    def lose(self, last_seq: int, lost: int) -> None:
        """Numbers up to ``last_seq`` were given to events that are lost."""
        with self._transaction():
            self._db.execute("UPDATE about SET last_seq = max(last_seq, ?), lost = lost + ?", (last_seq, lost))

    def next(self, after: int) -> Row | None:
        """The row with the least number above ``after``."""
        asked = f"SELECT {COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT 1"
        found = self._db.execute(asked, (after,)).fetchone()
        return None if found is None else _row(found)

    def holds(self, seq: int) -> bool:
        return self._db.execute("SELECT 1 FROM event WHERE seq = ?", (seq,)).fetchone() is not None

    def nth(self, n: int) -> int:
        """The number of the ``n``-th oldest row, counted from 1."""
        return int(self._db.execute("SELECT seq FROM event ORDER BY seq LIMIT 1 OFFSET ?", (n - 1,)).fetchone()[0])

    def older_than(self, made_s: float) -> int:
        """The last number made before ``made_s``; 0 where none was."""
        return int(self._db.execute("SELECT max(seq) FROM event WHERE made_s < ?", (made_s,)).fetchone()[0] or 0)

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM event").fetchone()[0])

    def newest_made_s(self) -> float:
        return float(self._db.execute("SELECT max(made_s) FROM event").fetchone()[0] or 0.0)

    def _delete(self, gone: Iterable[int]) -> None:
        numbers = sorted(gone)
        if numbers:
            # The last number given must outlast its row, or the next run would give it again.
            self._db.execute("UPDATE about SET last_seq = max(last_seq, ?)", (numbers[-1],))
            self._db.executemany("DELETE FROM event WHERE seq = ?", [(n,) for n in numbers])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def checksum(row: Row) -> int:
    """SQLite sees to it that rows can be found, not that they still hold what was put into them."""
    return zlib.crc32(row.payload, zlib.crc32(struct.pack("<qd", row.seq, row.made_s)))


def _row(found: tuple[int, float | None, bytes | None, int | None]) -> Row:
    seq, made_s, payload, crc = found
    if made_s is not None and payload is not None:
        row = Row(seq, made_s, payload)
        if checksum(row) == crc:
            return row
    raise sqlite3.DatabaseError("damaged: an event is not what was put in")


def _side_files(path: Path) -> list[Path]:
    return [Path(f"{path}{suffix}") for suffix in _SIDE_FILES]


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
