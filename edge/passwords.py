"""Passwords: read from a file, and never shown."""

from __future__ import annotations

import functools
import logging
import re
import stat
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from edge.journal import asks

log = logging.getLogger(__name__)

MAX_FILE_BYTES: Final = 1 << 16  # a device named by mistake may have no end
_USER: Final = re.compile(r"[^:/?#@]*")  # what stands before the host and can be nothing but a user's name


def masked(address: str) -> str:
    """An address, or a text with one in it, as it may be shown.

    All that stands before the last @ becomes ``***``, but a plain user's name: a password may hold @ and / itself. The
    query goes too (some cameras want the login there). A name without ``:`` and ``@`` stays as it is.
    """
    head, at, rest = address.rpartition("@")
    scheme, mark, login = (head if at else rest).partition("://")
    if not at:
        return rest.partition("?")[0] if mark else rest
    if not mark:  # no address, but perhaps meant as one: ``mqtt:user:password@host``
        before, colon, _ = head.partition(":")
        return f"{before}:***@{rest}" if colon else address
    if "?" in login:  # the last @ may be one within a query, and its other half would be shown
        return f"{scheme}://***"
    return f"{scheme}://{login if _USER.fullmatch(login) else '***'}@{rest.partition('?')[0]}"


def read_password(path: Path, key: str) -> str:
    """The first line of a file. key: who names the file, for messages. Raises ConfigError where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
        if len(data) == MAX_FILE_BYTES:
            raise ConfigError(f"{key}: {path} has {MAX_FILE_BYTES:,} bytes and more: name a file that holds a password")
        password = re.split("\r\n?|\n", data.decode(), maxsplit=1)[0]
        is_public = path.stat().st_mode & stat.S_IROTH
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{key}: {path} cannot be read: {why}", "correct the path or its permissions") from None
    if not password:
        raise ConfigError(f"{key}: {path} is empty", "write the password into its first line")
    if is_public:
        _tell_public(path)
    return password


@functools.cache  # once: a sink's password is read when it is checked, and again when it is opened
def _tell_public(path: Path) -> None:
    text = "every user of this machine can read the password in %s: chmod 600 it"
    log.warning(text, path, extra=asks("password_readable"))
