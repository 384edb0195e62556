"""Log lines as the journal gets them: real datagrams, on a socket of the test's own. With a journal: tests/service."""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.journal import ACTIONS, JournalHandler, asks, is_journal
from edge.places import PACKAGE

ROOT = PACKAGE.parent
OPERATE = (ROOT / "docs" / "operate.md").read_text()


class Journal:
    """Its end of the socket, and what it reads there by the protocol."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(10)

    def entry(self) -> dict[str, str]:
        return parsed(self._socket.recv(1 << 20))

    def close(self) -> None:
        self._socket.close()


def parsed(datagram: bytes) -> dict[str, str]:
    """https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: NAME=value, or NAME, 64 bits of length, value."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    one = Journal(tmp_path / "socket")
    yield one
    one.close()


@pytest.fixture
def log(journal: Journal) -> Iterator[logging.Logger]:
    """A logger of the test's own that says everything to that journal."""
    logger, handler = logging.getLogger("edge.test_journal"), JournalHandler(journal.path)
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    handler.close()


def test_a_line_is_an_entry_with_its_priority_and_its_place(log: logging.Logger, journal: Journal) -> None:
    log.error("outbox: %d events are lost", 7)
    entry = journal.entry()
    assert entry["MESSAGE"] == "outbox: 7 events are lost"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"], entry["LOGGER"]) == ("3", "mask-edge", "edge.test_journal")
    assert entry["CODE_FILE"] == __file__
    assert entry["CODE_FUNC"] == "test_a_line_is_an_entry_with_its_priority_and_its_place"
    assert "MESSAGE_ID" not in entry


def test_a_line_that_asks_for_action_is_found_by_its_id_and_its_fields(log: logging.Logger, journal: Journal) -> None:
    log.warning("health: %s", "...", extra=asks("health", reason="camera_black", unknown=None))
    entry = journal.entry()
    assert entry["PRIORITY"] == "4"
    assert entry["MESSAGE_ID"] == ACTIONS["health"]
    own = {name: value for name, value in entry.items() if name.startswith("MASK_EDGE_")}
    assert own == {"MASK_EDGE_ACTION": "health", "MASK_EDGE_REASON": "camera_black"}


def test_a_traceback_stays_one_entry(log: logging.Logger, journal: Journal) -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        log.exception("a fault")
    message = journal.entry()["MESSAGE"]
    assert message.startswith("a fault\nTraceback")
    assert message.endswith("RuntimeError: two\nlines")


@pytest.mark.parametrize("text", ["", "=", "\n", "a=b\nPRIORITY=0\n", "\udc80 no UTF-8", "é" * 5000])
def test_no_text_breaks_out_of_its_field(log: logging.Logger, journal: Journal, text: str) -> None:
    log.error("%s", text)
    entry = journal.entry()
    assert entry["MESSAGE"] == text.encode("utf-8", "replace").decode()
    assert entry["PRIORITY"] == "3"


def test_where_the_journal_takes_nothing_the_line_goes_to_stderr_with_its_priority(
    log: logging.Logger, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.close()
    journal.path.unlink()
    log.warning("first\nsecond")
    assert capsys.readouterr().err == "<4>first\n<4>second\n"


def test_a_journal_that_does_not_read_holds_nobody_up_for_long(
    journal: Journal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.journal.SEND_S", 0.01)
    handler = JournalHandler(journal.path)

    def write() -> None:
        for number in range(600):  # a datagram socket queues ten, or a few hundred
            text = f"line {number} {'x' * 1000}"
            handler.emit(logging.LogRecord("edge", logging.WARNING, __file__, 1, text, (), None))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    assert "<4>line 599 x" in capsys.readouterr().err
    handler.close()


def test_the_journal_is_asked_only_where_stderr_is_connected_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w") as stream, (tmp_path / "elsewhere").open("w") as elsewhere:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        assert is_journal(stream)
        assert not is_journal(elsewhere)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(stream)
    assert not is_journal(None)


@pytest.mark.parametrize("is_service", [False, True])
def test_why_a_run_ends_is_a_line_of_its_own_kind_for_each_reader(tmp_path: Path, is_service: bool) -> None:
    """As systemd starts it on a machine whose journal cannot be reached, and as somebody at a terminal does."""
    with (tmp_path / "stderr").open("w+") as stderr:
        stat = os.fstat(stderr.fileno())
        env = {**os.environ, **({"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"} if is_service else {})}
        command = [sys.executable, "-c", NO_JOURNAL, "run", "--config", str(tmp_path / "none.toml")]
        done = subprocess.run(command, cwd=ROOT, env=env, stderr=stderr, check=False)
    said = (tmp_path / "stderr").read_text()
    assert done.returncode == 66
    line = f"config file {tmp_path / 'none.toml'} is not there: name another with --config\n"
    assert said == ("<3>" if is_service else "edge: ") + line


NO_JOURNAL = """
import sys
from pathlib import Path
import edge.journal
edge.journal.JournalHandler.__init__.__defaults__ = (Path("/none/socket"),)
from edge.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_every_action_is_explained_with_its_id_and_no_id_is_given_twice() -> None:
    ids = dict(re.findall(r"^\| `(\w+)` \| `([0-9a-f]{32})` \|$", OPERATE, re.MULTILINE))
    assert ids == ACTIONS
    assert len(set(ids.values())) == len(ids)
    lines = OPERATE.partition("## Log lines")[2].partition("### In the journal")[0]
    assert [action for action in ACTIONS if f"| `{action}` |" not in lines] == []


def test_every_field_that_the_code_sends_is_explained() -> None:
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    sent = set(re.findall(r'asks\("\w+", (\w+)=', sources))
    assert {"reason", "broker", "events", "keys", "exit_code"} == sent
    assert [name for name in sent if f"`MASK_EDGE_{name.upper()}`" not in OPERATE] == []
