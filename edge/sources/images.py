"""Still pictures: one file to pixels, and a folder or glob of them as a source.

OpenCV decodes a JPEG that was cut off, with grey where the rest was; so the end of JPEG, PNG, GIF and WebP files is
looked for first. EXIF orientation is applied by OpenCV, once.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import DataError, EdgeError, InputMissing, Refused, UsageError
from edge.opencv import MAX_PIXELS, cv2
from edge.records import Frame, ImageU8
from edge.sources.base import Closing, as_bgr
from edge.sources.container import cut_gif, is_text

# A GIF is a video here.
SUFFIXES: Final = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".avif", ".pbm", ".pgm", ".ppm"]
)
MAX_FILE_BYTES: Final = 256 * 2**20
JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in coded data: all but stuffing, padding and restarts
JPEG_SIZE_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_END: Final = 0xD9


def read_image(path: Path) -> ImageU8:
    """Read a picture, upright, as (height, width, 3) uint8 BGR.

    Grey is spread, alpha dropped, 16 bits become 8, CMYK becomes BGR. Messages leave the path to the caller, who knows
    how the user called it. Raises InputMissing when there is no such file, Refused when it may not be read, and
    DataError ("not an image: ...") for anything that is not a whole picture.
    """
    data = _bytes_of(path)
    problem = what_is_wrong(data)
    if problem:
        raise DataError(f"not an image: {problem}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        why = _too_large() if "PIXELS" in str(error) else "OpenCV cannot decode it"
        raise DataError(f"not an image: {why}") from error
    if image is None:
        raise DataError("not an image: damaged, or of a kind that OpenCV cannot decode")
    return as_bgr(image)


def _bytes_of(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError("not an image: not a file") if path.exists() else InputMissing("no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"not an image: larger than {MAX_FILE_BYTES:,} bytes")
        return path.read_bytes()
    except PermissionError as error:
        raise Refused("may not be read by this user", "change its permissions") from error
    except EdgeError:
        raise
    except OSError as error:
        raise DataError(f"not an image: cannot be read: {error.strerror}") from error


def _too_large() -> str:
    return f"too large, at most {MAX_PIXELS:,} pixels are read"


def what_is_wrong(data: bytes) -> str | None:
    """Why a file's bytes are not a whole picture, as far as its structure tells; None where nothing is seen.

    data: the whole file.
    """
    if not data:
        return "the file is empty"
    if is_text(data[:4096]):
        return "it holds text"
    for magic, check in CHECKS.items():
        if data.startswith(magic):
            return check(data)
    return None


def _truncated(data: bytes) -> str:
    return f"truncated after {len(data):,} bytes"


def _wrong_jpeg(data: bytes) -> str | None:
    """Go from marker to marker to the end marker; bytes after it are allowed (phones append whole films)."""
    at = 2
    while found := JPEG_MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == JPEG_END:
            return None
        if marker in JPEG_SIZE_MARKERS and len(data) >= at + 7:
            height, width = struct.unpack_from(">HH", data, at + 3)
            if height * width > MAX_PIXELS:
                return _too_large()
        if 0x01 < marker < 0xD8 or marker > JPEG_END:  # a segment with a length; a scan's coded data follow its header
            at += int.from_bytes(data[at : at + 2], "big")
    return _truncated(data)


def _wrong_png(data: bytes) -> str | None:
    """Go from chunk to chunk to IEND."""
    width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
    if width * height > MAX_PIXELS:
        return _too_large()
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return _truncated(data)


def _wrong_riff(data: bytes) -> str | None:
    return _truncated(data) if len(data) < 8 + int.from_bytes(data[4:8], "little") else None


CHECKS: Final[dict[bytes, Callable[[bytes], str | None]]] = {
    b"\xff\xd8": _wrong_jpeg,
    b"\x89PNG\r\n\x1a\n": _wrong_png,
    b"GIF8": cut_gif,
    b"RIFF": _wrong_riff,  # WebP
}


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts ``2.jpg`` before ``10.jpg``; upper and lower case alike, the exact name last."""
    parts = re.findall(r"\d+|\D+", str(path).casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts], str(path)


def images_in(folder: Path) -> list[Path]:
    """The pictures of a folder (not of those below it), sorted as people number them; hidden files left out."""
    return sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")),
        key=natural_key,
    )


class ImageFiles(Closing):
    """Pictures as the frames of a source that has a stated rate.

    A broken picture is left out; when the last was given, ``read`` raises DataError and names the first of them.
    ``index`` and ``t_s`` go by the place in the list, so that a picture left out leaves its gap. Sizes may differ.

    fps: pictures per second of media time.
    """

    live = False
    dropped = 0

    def __init__(self, paths: Sequence[Path], name: str, fps: float = 5.0) -> None:
        if not paths:
            raise InputMissing(f"{name}: there is no image here ({', '.join(sorted(SUFFIXES))})")
        if fps <= 0:
            raise UsageError(f"images per second must be over 0, is {fps}")
        self.name = name
        self._paths = list(paths)
        self._fps = fps
        self._next = 0
        self._broken: list[str] = []

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture that can be read; a file needs no time limit."""
        while self._next < len(self._paths):
            index, self._next = self._next, self._next + 1
            try:
                image = read_image(self._paths[index])
            except EdgeError as error:
                self._broken.append(f"{self._paths[index]}: {error}")
                continue
            return Frame(image, index, index / self._fps, time.time())
        if self._broken:
            raise DataError(self._what_broke())
        return None

    def close(self) -> None:
        self._paths = []

    def _what_broke(self) -> str:
        if len(self._paths) == 1:
            return self._broken[0]
        count = f"{len(self._broken)} of {len(self._paths)} images could not be read"
        used = "; the others were used" if len(self._broken) < len(self._paths) else ""
        return f"{self.name}: {count}, the first is {self._broken[0]}{used}"
