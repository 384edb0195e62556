"""A bundle from a tar stream: ``tar -C BUNDLE -c . | ssh door edge model install -``.

The stream comes from somewhere else, and is believed in nothing: only plain files and folders, only below the folder
it is put in, only so much of it.
"""

from __future__ import annotations

import io
import os
import select
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from edge.durable import make_folder, write_file
from edge.errors import DataError, Unavailable

MAX_BYTES: Final = 256 << 20
MAX_MEMBERS: Final = 10_000
MAX_DEPTH: Final = 8  # a bundle has two; what is far deeper could not even be taken away again
MAX_NAME_BYTES: Final = 255  # NAME_MAX of Linux
ROOM_FOR_HEADERS: Final = 32 << 20
SILENT_S: Final = 30.0  # twice what deploy/push needs to take a line for cut
REMEDY: Final = "send it with 'tar -C BUNDLE -c .'"


class Impatient(io.RawIOBase):
    """A stream that may fall silent: nobody is told of a line that is cut, and the models folder is locked meanwhile.

    fd: an open file descriptor, which stays open. limit_s: without a byte. Reading then raises Unavailable.
    """

    def __init__(self, fd: int, limit_s: float = SILENT_S) -> None:
        self._fd = fd
        self._limit_s = limit_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not select.select([self._fd], [], [], self._limit_s)[0]:
            raise Unavailable(f"no more of the bundle came within {self._limit_s:g} s", "send it again")
        view = memoryview(buffer)
        data = os.read(self._fd, len(view))
        view[: len(data)] = data
        return len(data)


class Limited:
    """The stream as far as it is read at most, so that no header can fill the memory either."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            raise DataError(f"the tar stream holds more than {MAX_BYTES >> 20} MiB", "that is no bundle")
        data = self._stream.read(size)
        self._left -= len(data)
        return data


def unpack(stream: IO[bytes], folder: Path, need: Callable[[int], None]) -> None:
    """Write the stream's files below ``folder``, each synced. need: asked for room, in bytes, before each.

    Raises DataError for what is no such stream.
    """
    limited = Limited(stream, MAX_BYTES + ROOM_FOR_HEADERS)
    try:
        with tarfile.open(fileobj=limited, mode="r|") as archive:  # type: ignore[call-overload]
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise DataError(f"the tar stream holds more than {MAX_MEMBERS:,} files", "that is no bundle")
                put(archive, member, folder, need)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"the tar stream is broken ({error})", REMEDY) from error


def put(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, need: Callable[[int], None]) -> None:
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts or not (member.isreg() or member.isdir()) or member.issparse():
        raise DataError(f"the tar stream holds {member.name!r}, which is no plain file below it", REMEDY)
    if not parts:
        return
    if len(parts) > MAX_DEPTH or any(len(part.encode(errors="surrogateescape")) > MAX_NAME_BYTES for part in parts):
        shown = member.name[:60]
        raise DataError(f"the tar stream holds {shown!r}..., deeper or longer than any name of a bundle", REMEDY)
    try:
        target = folder
        for part in parts[:-1] if member.isreg() else parts:
            target = target / part
            make_folder(target)
        if member.isreg():
            if member.size > MAX_BYTES:
                raise DataError(f"the tar stream holds more than {MAX_BYTES >> 20} MiB", "that is no bundle")
            need(member.size)
            data = archive.extractfile(member)
            assert data is not None
            write_file(target / parts[-1], data.read())
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"the tar stream holds {member.name!r} twice", REMEDY) from error
