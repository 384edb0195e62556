"""Every error a user can meet, as a tree.

EdgeError                   something the user can mend; carries its exit code (sysexits.h)
├── UsageError        64    the command line
├── DataError         65    an image, a video, a model or a prepared set is not what it should be
├── InputMissing      66    a file, a folder or a camera is not there           (also FileNotFoundError)
├── Unavailable       69    something needed is away: a runtime, a broker, a device
├── OutputError       73    an output cannot be created
├── DiskError         74    writing failed, most often a full disk              (also OSError)
├── Undelivered       75    events are left to be sent: try again later
├── Busy              75    somebody else is at it: try again later
├── Refused           77    a login or a permission
└── ConfigError       78    the configuration                                   (also ValueError)

A message names the thing, what is wrong with it, and the remedy: ``WHAT is wrong with WHICH thing: what to do``.
The command line prints it as one line, without a traceback.
"""

from __future__ import annotations

from typing import Final

EXIT_INTERRUPTED: Final = 130  # Ctrl-C, as shells tell it


def one_line(text: str) -> str:
    """As it may be shown on a terminal: line breaks and control characters, of a file's name say, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class EdgeError(Exception):
    """Root of the tree; ``exit_code`` is that of sysexits.h.

    what: what is wrong with which thing. remedy: what to do; empty where ``what`` says it, or nothing can be said.
    """

    exit_code = 70

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class UsageError(EdgeError):
    exit_code = 64


class DataError(EdgeError):
    exit_code = 65


class InputMissing(EdgeError, FileNotFoundError):
    exit_code = 66


class Unavailable(EdgeError):
    exit_code = 69


class OutputError(EdgeError):
    exit_code = 73


class DiskError(EdgeError, OSError):
    exit_code = 74


class Undelivered(EdgeError):
    exit_code = 75


class Busy(EdgeError):
    exit_code = 75


class Refused(EdgeError):
    exit_code = 77


class ConfigError(EdgeError, ValueError):
    exit_code = 78
