"""Log lines to systemd's journal, with fields of their own; at a terminal, lines as ever.

The native protocol is one datagram of KEY=VALUE lines to a socket (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), so it
takes no package: docs/dependencies.md says why not systemd-python's.

A line that asks somebody to do something has a MESSAGE_ID of its own, by which it is found whatever its words are, and
MASK_EDGE_ACTION with its name: both are listed in docs/operate.md.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Final

SOCKET: Final = Path("/run/systemd/journal/socket")
IDENTIFIER: Final = "mask-edge"  # the unit's SyslogIdentifier=
SEND_S: Final = 1.0  # a journal that does not read is no reason to miss a frame
TERMINAL_FORMAT: Final = "edge: %(message)s"

# What is asked for, and the id of the lines that ask. Never changed once given: sites search and alert by them.
ACTIONS: Final[dict[str, str]] = {
    "health": "907e18cb48a84cc2911eec62b8648218",
    "camera_away": "34abe485ad424aada351eae52b761c6e",
    "accelerator": "de9e93ef482d43e99a14cab07014ff14",
    "broker_away": "0fb7bef83f384c869b1ce7be753d6c1c",
    "broker_refuses": "98bcff4a1a104223ad46ba94fe5909c7",
    "outbox_in_memory": "e3d61a29ce55454f86835382d1719087",
    "outbox_unreadable": "62b6699b93e34839b113c4e4ccdead09",
    "password_readable": "3601a2ca4a3f45078bd46ed56710f9fa",
    "events_lost": "6080bc4df1d24a81a49129d62ad6aa83",
    "events_dropped": "e596b4c587b54bddb88c969d48688653",
    "reload_refused": "c71701829a7c4f5ba3708b9592a68b38",
    "model_given_up": "b4ca925badd3497cad271e8e55a451dd",
    "trial_unwritten": "49c798d611914037a22e765f0b15428b",
    "restart_needed": "8d52d092cd9749be8d039e5a23964560",
    "status_unwritten": "5b0a659586d2464e8f715bc0f20e3ec6",
    "ended": "07ff9af5935948a9ae61cff9386244d0",
    "fault": "e96d794d73a04e84b5428b879dade06b",
}


def asks(action: str, **fields: str | int | None) -> dict[str, Any]:
    """For ``extra=`` of a log call: this line asks for what ``ACTIONS`` lists. fields: MASK_EDGE_... in the journal."""
    return {"journal": {"MESSAGE_ID": ACTIONS[action], "ACTION": action, **fields}}


def set_up_logging() -> None:
    """From now on log lines go to the journal where it is what stderr is connected to, else to stderr."""
    to: logging.Handler
    if is_journal(sys.stderr):
        to, line = JournalHandler(), "%(message)s"
    else:
        to, line = logging.StreamHandler(sys.stderr), TERMINAL_FORMAT
    logging.basicConfig(level=logging.INFO, handlers=[to], format=line)


def is_journal(stream: Any) -> bool:
    """Is this the stream that systemd connected to the journal? One that was sent elsewhere since is not.

    By $JOURNAL_STREAM, its device and inode (``man 5 systemd.exec``).
    """
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or not a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class JournalHandler(logging.Handler):
    """Each record as an entry; where the journal's socket cannot be used, as a line of stderr with its priority."""

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_S)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            try:
                self._socket.sendto(encode(fields(record, text)), self._path)
            except OSError:
                sys.stderr.write(prefixed(text, priority(record.levelno)))
                sys.stderr.flush()
        except Exception:  # noqa: BLE001 - logging's own rule: what cannot be logged ends nothing
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def fields(record: logging.LogRecord, text: str) -> dict[str, str]:
    """Of one record, in the journal's names. What is None stays away."""
    own: dict[str, str | int | None] = dict(getattr(record, "journal", {}))
    message_id = own.pop("MESSAGE_ID", None)
    found: dict[str, str | int | None] = {
        "MESSAGE": text,
        "PRIORITY": priority(record.levelno),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        "MESSAGE_ID": message_id,
        **{f"MASK_EDGE_{name.upper()}": value for name, value in own.items()},
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def encode(entry: dict[str, str]) -> bytes:
    """One datagram: NAME=value, or where a value has several lines its length before it."""
    return b"".join(encoded(name, value.encode("utf-8", "replace")) for name, value in entry.items())


def encoded(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def prefixed(text: str, level: int) -> str:
    """Every line with its priority, as systemd reads it from stderr (``man 3 sd-daemon``)."""
    return "".join(f"<{level}>{line}\n" for line in text.splitlines() or [""])


def priority(level: int) -> int:
    """syslog's number: 3 error, 4 warning, 6 information, 7 debugging."""
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7
