"""The outbox keeps every event until the broker has it, over restarts, full disks and files that broke."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.errors import Unavailable
from edge.outbox import Limits, Outbox, Waiting, open_outbox
from edge.outbox.outbox import FILE, NOTE, RETRY_S
from edge.outbox.store import Store

WRITER = Path(__file__).with_name("writer.py")
TEAR = 512


class Hand:
    """A clock that is moved by hand, seconds."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def fill(outbox: Outbox, count: int) -> None:
    for _ in range(count):
        outbox.put(outbox.last_seq + 1, f"event {outbox.last_seq + 1}".encode())


def held(outbox: Outbox) -> list[int]:
    return [w.seq for w in waiting(outbox)]


def waiting(outbox: Outbox) -> Iterator[Waiting]:
    after = 0
    while found := outbox.next(after):
        yield found
        after = found.seq


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file of this process may grow, as on a full disk: a write beyond the limit fails with EFBIG."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def fill_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (NOTE_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def free_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


NOTE_BYTES = 64


def test_events_and_numbers_outlast_a_restart(tmp_path: Path) -> None:
    first = open_outbox(tmp_path)
    fill(first, 3)
    first.ack(1)
    first.close()
    second = open_outbox(tmp_path)
    assert (second.epoch, second.last_seq, second.losses) == (first.epoch, 3, ())
    assert list(waiting(second)) == [Waiting(2, b"event 2"), Waiting(3, b"event 3")]
    second.close()


def test_numbers_go_on_when_everything_was_delivered(tmp_path: Path) -> None:
    first = open_outbox(tmp_path)
    fill(first, 3)
    for seq in (1, 2, 3):
        first.ack(seq)
    first.close()
    second = open_outbox(tmp_path)
    assert (second.last_seq, second.waiting) == (3, 0)
    second.close()


def test_a_new_outbox_is_a_new_epoch(tmp_path: Path) -> None:
    assert open_outbox(tmp_path / "a").epoch != open_outbox(tmp_path / "b").epoch


def test_a_second_run_is_kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.outbox.store.WAIT_S", 0.1)
    first = open_outbox(tmp_path)
    with pytest.raises(Unavailable, match="used by another edge run"):
        open_outbox(tmp_path)
    first.close()
    open_outbox(tmp_path).close()


def test_the_oldest_make_room_and_are_counted_over_restarts(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, Limits(events=3))
    fill(outbox, 5)
    assert (held(outbox), outbox.dropped) == ([3, 4, 5], 2)
    outbox.ack(1)  # dropped before: passed over
    assert outbox.waiting == 3
    outbox.close()
    again = open_outbox(tmp_path, Limits(events=3))
    assert (held(again), again.dropped) == ([3, 4, 5], 2)
    again.close()


def test_age_counts_the_time_that_the_daemon_ran(tmp_path: Path) -> None:
    clock = Hand()
    outbox = open_outbox(tmp_path, Limits(age_s=60), clock)
    fill(outbox, 1)
    clock.now_s += 50
    fill(outbox, 1)
    assert outbox.oldest_s == pytest.approx(50)
    outbox.close()
    clock.now_s = 5.0  # a reboot: the machine's clock begins anew
    again = open_outbox(tmp_path, Limits(age_s=60), clock)
    assert held(again) == [1, 2]
    assert again.oldest_s == pytest.approx(50)
    clock.now_s += 20
    fill(again, 1)
    assert (held(again), again.dropped) == ([2, 3], 1)
    again.close()


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="events"):
        open_outbox(tmp_path, Limits(events=0))


def test_numbers_rise(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 2)
    with pytest.raises(ValueError, match="event 2 after 2"):
        outbox.put(2, b"")
    outbox.close()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path, no_room: None) -> None:
    clock = Hand()
    outbox = open_outbox(tmp_path, clock=clock)
    fill(outbox, 2)
    fill_disk()
    fill(outbox, 50)
    assert outbox.trouble
    outbox.ack(1)
    outbox.ack(3)  # in memory only
    assert held(outbox) == [2, *range(4, 53)]
    free_disk()
    clock.now_s += RETRY_S
    fill(outbox, 1)
    assert not outbox.trouble
    outbox.close()
    again = open_outbox(tmp_path)
    assert (held(again), again.losses) == ([2, *range(4, 54)], ())
    again.close()


def test_a_kill_while_the_disk_is_full_is_reported(tmp_path: Path, no_room: None) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 2)
    fill_disk()
    fill(outbox, 5)
    outbox.ack(3)
    killed = tmp_path / "killed"
    free_disk()
    shutil.copytree(tmp_path, killed)  # what a kill leaves: nothing was closed
    again = open_outbox(killed)
    assert [loss.count for loss in again.losses] == [4]
    assert (held(again), again.last_seq, again.epoch) == ([1, 2], 7, outbox.epoch)
    again.close()
    assert not open_outbox(killed).losses


def test_a_number_given_to_an_event_that_left_from_memory_is_never_given_again(tmp_path: Path, no_room: None) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 2)
    fill_disk()
    fill(outbox, 3)
    for seq in range(1, 6):
        outbox.ack(seq)  # the broker is there, only the disk takes nothing
    free_disk()
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path, killed)
    again = open_outbox(killed)
    assert (again.epoch, again.last_seq, again.losses) == (outbox.epoch, 5, ())
    again.close()
    outbox.close()
    again = open_outbox(tmp_path)
    assert (again.last_seq, held(again), again.losses) == (5, [], ())
    again.close()


def test_a_start_on_a_disk_that_is_still_full_reports_the_loss_and_goes_on(tmp_path: Path, no_room: None) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 2)
    fill_disk()
    fill(outbox, 5)
    killed = tmp_path / "killed"
    free_disk()
    shutil.copytree(tmp_path, killed)
    fill_disk()
    again = open_outbox(killed)
    assert ([loss.count for loss in again.losses], again.last_seq) == ([5], 7)
    fill(again, 2)
    assert held(again) == [1, 2, 8, 9]
    free_disk()
    again.close()
    last = open_outbox(killed)
    assert (last.epoch, last.last_seq, held(last), last.losses) == (outbox.epoch, 9, [1, 2, 8, 9], ())
    last.close()


def test_a_folder_that_takes_files_later_gets_what_waited_in_memory(tmp_path: Path) -> None:
    clock = Hand()
    (tmp_path / "state").write_text("no folder")
    outbox = open_outbox(tmp_path / "state", clock=clock)
    fill(outbox, 2)
    (tmp_path / "state").unlink()
    clock.now_s += RETRY_S
    fill(outbox, 1)
    assert not outbox.trouble
    outbox.close()
    again = open_outbox(tmp_path / "state")
    assert (again.epoch, held(again), again.losses) == (outbox.epoch, [1, 2, 3], ())
    again.close()


def test_a_file_that_is_made_but_takes_no_event_frees_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with room for an empty outbox and no more, and a kill then."""
    clock = Hand()
    (tmp_path / "state").write_text("no folder")
    outbox = open_outbox(tmp_path / "state", clock=clock)
    fill(outbox, 3)
    (tmp_path / "state").unlink()
    monkeypatch.setattr(Store, "put", failing_put)
    clock.now_s += RETRY_S
    outbox.next(0)
    fill(outbox, 1)
    assert (tmp_path / "state" / FILE).exists()
    monkeypatch.undo()
    epoch, last_seq = outbox.epoch, outbox.last_seq
    assert outbox._disk
    outbox._disk.close()  # killed, without a word: what it held lies as it lay
    again = open_outbox(tmp_path / "state")
    assert (again.epoch, again.last_seq) == (epoch, last_seq)
    assert sum(loss.count or 0 for loss in again.losses) == 4
    again.close()


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("events", [0, 3])
def test_a_disk_that_was_full_from_the_first_start_on_cannot_be_told_how_many_but_that_some_are_lost(
    tmp_path: Path, events: int
) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    first = open_outbox(tmp_path)
    fill(first, events)
    first.close()
    free_disk()
    second = open_outbox(tmp_path)
    assert [loss.count for loss in second.losses] == [None] * (events > 0)
    second.close()
    assert not open_outbox(tmp_path).losses


def failing_put(*_args: object, **_more: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_events_lost_from_an_outbox_in_memory_are_reported_and_older_reports_are_kept(tmp_path: Path) -> None:
    first = open_outbox(tmp_path)
    fill(first, 3)
    first.close()
    (tmp_path / NOTE).write_text(f"{first.epoch} 4-9".ljust(63) + "\n")  # as a kill on a full disk leaves it
    (tmp_path / FILE).rename(tmp_path / "hidden")
    (tmp_path / FILE).mkdir()  # cannot be opened
    memory = open_outbox(tmp_path)
    assert memory.trouble
    fill(memory, 2)
    del memory  # killed
    (tmp_path / FILE).rmdir()
    (tmp_path / "hidden").rename(tmp_path / FILE)
    last = open_outbox(tmp_path)
    assert sorted(loss.count or 0 for loss in last.losses) == [2, 6]
    assert (last.epoch, last.last_seq) == (first.epoch, 9)
    last.close()
    assert not open_outbox(tmp_path).losses


def test_what_cannot_be_read_just_now_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", refuse)
        fill(outbox, 1)
        patch.setattr(Store, "next", refuse)
        assert outbox.next(0) is None
        assert outbox.trouble
    assert held(outbox) == [1, 2, 3, 4]
    outbox.close()


def refuse(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_ERROR])
def test_a_file_that_can_never_be_read_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 3)
    outbox.close()
    known = Store._prepare
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code

    def prepare(store: Store) -> None:
        if open_outbox_at == [1]:
            open_outbox_at.clear()
            raise error
        known(store)

    open_outbox_at = [1]
    monkeypatch.setattr(Store, "_prepare", prepare)
    again = open_outbox(tmp_path)
    assert (again.epoch != outbox.epoch, again.trouble, [loss.count for loss in again.losses]) == (True, None, [3])
    again.close()


def test_in_memory_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.outbox.outbox.IN_MEMORY", 3)
    (tmp_path / "file").write_text("no folder")
    outbox = open_outbox(tmp_path / "file")
    assert outbox.trouble
    fill(outbox, 5)
    assert (held(outbox), outbox.dropped) == ([3, 4, 5], 2)
    outbox.close()


def test_a_damaged_file_is_set_aside_with_the_number_known(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 2000)
    outbox.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    page = data.index(b"event 1000") // 4096 * 4096
    data[page : page + 600] = b"\xff" * 600
    (tmp_path / FILE).write_bytes(data)
    again = open_outbox(tmp_path)
    assert [loss.count for loss in again.losses] == [2000]
    assert (again.last_seq, again.waiting) == (0, 0)
    assert again.epoch != outbox.epoch
    assert (tmp_path / f"{FILE}.broken").is_file()
    fill(again, 1)
    again.close()
    assert not open_outbox(tmp_path).losses


def test_a_number_is_told_only_where_it_is_known(tmp_path: Path) -> None:
    """The newest events cannot be read: the oldest that can does not say how many there were."""
    outbox = open_outbox(tmp_path)
    fill(outbox, 2000)
    outbox.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    page = data.index(b"event 2000") // 4096 * 4096
    data[page : page + 600] = b"\xff" * 600
    (tmp_path / FILE).write_bytes(data)
    again = open_outbox(tmp_path)
    assert [loss.count for loss in again.losses] == [None]
    again.close()


def test_an_event_whose_bytes_were_changed_on_disk_is_never_sent(tmp_path: Path) -> None:
    """SQLite keeps no checksums: to it, such a file is in order."""
    outbox = open_outbox(tmp_path)
    fill(outbox, 2000)
    outbox.close()
    spoil(tmp_path / FILE, b"event 1000", b"event 10?0")
    again = open_outbox(tmp_path)
    assert [loss.count for loss in again.losses] == [2000]
    assert (held(again), again.epoch != outbox.epoch) == ([], True)
    again.close()


@pytest.mark.parametrize(
    "change", ["payload = CAST(payload AS TEXT)", "payload = 7", "made_s = made_s - 1", "crc = 'x'"]
)
def test_a_row_of_another_kind_or_time_is_damage_too(tmp_path: Path, change: str) -> None:
    outbox = open_outbox(tmp_path)
    outbox.put(1, b"\xff\xfe no text")
    outbox.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"UPDATE event SET {change}")
        db.commit()
    again = open_outbox(tmp_path)
    assert ([loss.count for loss in again.losses], again.trouble) == ([] if "CAST" in change else [1], None)
    again.close()


def test_an_event_whose_bytes_change_under_a_running_daemon_is_never_sent(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    for seq in range(1, 4001):  # more than SQLite keeps in memory
        outbox.put(seq, f"event {seq};".encode() + b"x" * 2000)
    outbox.close()
    outbox = open_outbox(tmp_path)
    spoil(tmp_path / FILE, b"event 1000;", b"event 10?0;")
    assert held(outbox) == list(range(1, 1000))
    assert "damaged" in (outbox.trouble or "")
    outbox.close()


def spoil(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_outbox_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    outbox = open_outbox(tmp_path)
    assert [loss.count for loss in outbox.losses] == [None]
    fill(outbox, 1)
    outbox.close()


def test_a_file_that_breaks_while_it_is_in_use_never_reaches_the_pipeline(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    fill(outbox, 300)
    with (tmp_path / FILE).open("r+b") as file:
        file.truncate(5000)
    fill(outbox, 300)
    list(waiting(outbox))
    for seq in range(1, 601):
        outbox.ack(seq)
    outbox.close()


def test_a_file_that_breaks_while_it_is_in_use_is_set_aside_and_the_loss_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers and epoch go on, for they are known. 6 MB: what SQLite holds in memory it does not read again."""
    now_s = 0.0
    outbox = open_outbox(tmp_path, clock=lambda: now_s)
    for seq in range(1, 1501):
        outbox.put(seq, b"x" * 4000)
    for seq in range(1, 11):
        outbox.ack(seq)
    for name in (FILE, f"{FILE}-wal"):
        path = tmp_path / name
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
    assert list(waiting(outbox)) == []
    [loss] = outbox.losses
    assert loss.count == 1490
    assert "1490 events are lost" in caplog.text
    assert (tmp_path / f"{FILE}.broken").exists()
    assert "damaged" in (outbox.trouble or "")
    now_s += RETRY_S
    fill(outbox, 3)
    assert (outbox.trouble, held(outbox)) == (None, [1501, 1502, 1503])
    epoch = outbox.epoch
    outbox.close()
    again = open_outbox(tmp_path)
    assert (again.epoch, again.last_seq, again.losses, held(again)) == (epoch, 1503, (), [1501, 1502, 1503])
    again.close()


def test_a_broken_file_that_cannot_be_moved_waits_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(_path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("edge.outbox.store.set_aside", read_only)
    outbox = open_outbox(tmp_path)
    fill(outbox, 3)
    outbox._fail_to_read(sqlite3.DatabaseError("database disk image is malformed"))
    fill(outbox, 2)
    assert outbox.trouble is not None
    assert (outbox.losses, held(outbox)) == ((), [4, 5])
    outbox.close()


def test_a_damaged_outbox_on_a_full_disk_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_outbox(tmp_path)
    fill(first, 20)
    first.close()
    with (tmp_path / FILE).open("r+b") as file:
        file.write(bytes(100))
    monkeypatch.setattr("edge.outbox.store.create", failing_put)
    outbox = open_outbox(tmp_path)
    assert outbox.trouble is not None
    assert [loss.count for loss in outbox.losses] == [None]
    outbox.close()


GIVEN = 80


def torn(tmp_path: Path, name: str) -> Iterator[Path]:
    """Folders with the outbox as it was in the middle of its life, one file cut at every 512 bytes."""
    outbox = open_outbox(tmp_path / "whole")
    fill(outbox, 60)
    for seq in range(1, 31):
        outbox.ack(seq)
    fill(outbox, GIVEN - 60)
    whole = (tmp_path / "whole" / name).read_bytes()
    for size in range(0, len(whole), TEAR):
        folder = tmp_path / f"torn-{size}"
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(folder / name, size)
        yield folder
        shutil.rmtree(folder)
    outbox.close()


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", NOTE])
def test_torn_files_are_opened_or_set_aside_and_go_on_working(tmp_path: Path, name: str) -> None:
    count = 0
    for folder in torn(tmp_path, name):
        count += 1
        outbox = open_outbox(folder)
        before = held(outbox)
        assert before == sorted(set(before))
        assert gives_no_number_again(outbox, of=folder.parent / "whole"), folder
        assert all(w.payload == f"event {w.seq}".encode() for w in waiting(outbox))
        fill(outbox, 2)
        assert held(outbox) == [*before, outbox.last_seq - 1, outbox.last_seq]
        outbox.close()
        assert held(open_outbox(folder))[-2:] == [outbox.last_seq - 1, outbox.last_seq]
    assert count >= 1


def gives_no_number_again(outbox: Outbox, of: Path) -> bool:
    """It goes on above all that were given, with every one that is gone reported; or in a new epoch, with a report.

    Where the note is torn as well as nothing else, nobody can have lost anything.
    """
    note = (of / NOTE).read_text()
    if not note.startswith(outbox.epoch):
        return bool(outbox.losses)
    gone = GIVEN - 30 - len(held(outbox))
    return outbox.last_seq >= GIVEN and sum(loss.count or 0 for loss in outbox.losses) >= gone


@pytest.mark.parametrize("at", [0.1, 0.5, 0.95])
def test_a_byte_that_flips_in_the_log_is_no_silent_step_back(tmp_path: Path, at: float) -> None:
    """SQLite takes a log up to its first bad frame and says nothing of the rest."""
    for folder in torn(tmp_path, NOTE):
        shutil.copy(tmp_path / "whole" / NOTE, folder / NOTE)
        log = bytearray((folder / f"{FILE}-wal").read_bytes())
        log[int(len(log) * at)] ^= 1
        (folder / f"{FILE}-wal").write_bytes(log)
        outbox = open_outbox(folder)
        assert gives_no_number_again(outbox, of=tmp_path / "whole")
        outbox.close()
        assert not open_outbox(folder).losses


def killed_writer(folder: Path, after_lines: int) -> tuple[set[int], set[int]]:
    """Numbers that the outbox had taken, and delivered ones, when the writer was killed with SIGKILL."""
    writer = subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(after_lines)]
    writer.kill()
    lines += writer.stdout.read().splitlines(keepends=True)
    writer.wait()
    writer.stdout.close()
    numbers = [int(line) for line in lines if line.endswith("\n")]
    return {n for n in numbers if n > 0}, {-n for n in numbers if n < 0}


def kills(folder: Path, times: int) -> None:
    taken: set[int] = set()
    delivered: set[int] = set()
    for turn in range(times):
        new, gone = killed_writer(folder, 1 + turn * 7 % 23)
        taken, delivered = taken | new, delivered | gone
        outbox = open_outbox(folder)
        assert not outbox.losses
        now = held(outbox)
        assert now == sorted(set(now))
        assert taken - delivered <= set(now)
        assert all(w.payload.startswith(f"{outbox.epoch}:{w.seq}:".encode()) for w in waiting(outbox))
        assert outbox.last_seq - max(taken) in (0, 1)  # one may have been taken and not yet said
        outbox.close()


def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    kills(tmp_path, 10)


@pytest.mark.slow
def test_two_hundred_killed_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    kills(tmp_path, 200)


class OutboxLife(RuleBasedStateMachine):
    """Against a plain list that nobody could get wrong: restarts and refusing disks included."""

    LIMIT = 6

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.clock = Hand()
        self.outbox = open_outbox(Path(self.folder.name), Limits(events=self.LIMIT), self.clock)
        self.model: list[Waiting] = []
        self.delivered: list[Waiting] = []
        self.dropped = 0
        self.is_full = False

    @rule(payload=st.binary(max_size=5))
    def put(self, payload: bytes) -> None:
        seq = self.outbox.last_seq + 1
        self.outbox.put(seq, payload)
        self.model.append(Waiting(seq, payload))
        while not self.is_full and len(self.model) > self.LIMIT:
            self.model.pop(0)
            self.dropped += 1

    @rule(seq=st.integers(0, 40))
    def ack(self, seq: int) -> None:
        self.outbox.ack(seq)
        self.delivered += [w for w in self.model if w.seq == seq]
        self.model = [w for w in self.model if w.seq != seq]

    @rule(after=st.integers(0, 40))
    def look(self, after: int) -> None:
        assert self.outbox.next(after) == next((w for w in self.model if w.seq > after), None)

    @rule(passed_s=st.floats(0, 10))
    def wait(self, passed_s: float) -> None:
        self.clock.now_s += passed_s

    @rule()
    def restart(self) -> None:
        last_seq, unsaved = self.outbox.last_seq, len(self.outbox._unsaved)
        self.outbox.close()
        self.outbox = open_outbox(Path(self.folder.name), Limits(events=self.LIMIT), self.clock)
        assert self.outbox.last_seq == last_seq  # no number is ever given again
        if self.is_full:
            assert sum(loss.count or 0 for loss in self.outbox.losses) == unsaved
            kept, now = self.model[: len(self.model) - unsaved], list(waiting(self.outbox))
            again = [w for w in now if w not in kept]  # delivered, and not yet deleted: they come twice, by one id
            assert [w for w in now if w in kept] == kept
            assert all(w in self.delivered for w in again)
            self.model = now
            self.dropped = self.outbox.dropped  # what was dropped since the disk refused is not on it
        else:
            assert not self.outbox.losses
        self.is_full = False

    @rule()
    def refuse(self) -> None:
        self.is_full = True
        self._disk_takes_nothing("ON")

    @rule()
    def allow(self) -> None:
        self.is_full = False
        self._disk_takes_nothing("OFF")
        self.clock.now_s += RETRY_S
        self.put(b"after")

    def _disk_takes_nothing(self, switch: str) -> None:
        assert self.outbox._disk
        self.outbox._disk._db.execute(f"PRAGMA query_only={switch}")

    @invariant()
    def holds_what_the_list_holds(self) -> None:
        if hasattr(self, "outbox"):
            assert list(waiting(self.outbox)) == self.model
            assert (self.outbox.waiting, self.outbox.dropped) == (len(self.model), self.dropped)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()


TestOutboxLife = OutboxLife.TestCase


def test_the_file_is_not_readable_by_others(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "state")
    fill(outbox, 1)
    assert (tmp_path / "state").stat().st_mode & 0o007 == 0
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(tmp_path / "state" / FILE, timeout=0).execute("BEGIN IMMEDIATE")
    outbox.close()
