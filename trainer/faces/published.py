"""What a picture file says of itself, without its pixels: type, colours, JPEG quality, when it was taken.

Pixels are read by ``edge.sources.images.read_image`` only, so that trainer and device decode alike; Pillow reads the
headers, which OpenCV does not tell.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

EXIF_IFD, DATE_TIME_ORIGINAL, SUBSECONDS = 0x8769, 0x9003, 0x9291
ANIMATIONS: Final = frozenset(("GIF", "PNG", "WEBP", "AVIF"))  # several pictures in a JPEG or TIFF are no film
STAMP: Final = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[T _-]?"  # date
    r"([0-2]\d)[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:[.,_]?(\d{3}))?(?!\d)"  # time, milliseconds
)
EPOCH: Final = re.compile(r"(?<!\d)(1[4-9]\d{8})(\d{3})?(?!\d)")  # seconds or milliseconds since 1970, up to 2033
HEADER_FAULTS: Final = (
    *(OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error),
    *(AttributeError, RuntimeError, Image.DecompressionBombError),
)


@dataclass(frozen=True, slots=True)
class Header:
    """file_type: ``jpeg``, ``png``, ...; mode: Pillow's, ``RGB``, ``RGBA``, ``CMYK``, ``L``, ``I;16``, ...

    jpeg_quality: 1-100 of the nearest quantisation table of libjpeg, 0 where the file is no JPEG.
    taken_s: seconds since 1970 by the camera's own clock (EXIF), None where it does not say.
    """

    file_type: str = "unknown"
    mode: str = "unknown"
    jpeg_quality: int = 0
    is_animated: bool = False
    taken_s: float | None = None


def read_header(data: bytes | Path) -> Header:
    """A picture's header, from its bytes or its file; what cannot be told stays at its default."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and crooked EXIF; pixels are not read here
            with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as image:
                return _header(image)
    except HEADER_FAULTS:
        return Header()


def _header(image: Image.Image) -> Header:
    kind = image.format or "unknown"
    moving = kind in ANIMATIONS and bool(getattr(image, "is_animated", False))
    tables = getattr(image, "quantization", None) or {}
    quality = nearest_quality(tuple(tables[0])) if kind in ("JPEG", "MPO") and 0 in tables else 0
    mode = "I;16" if kind == "PNG" and image.mode.startswith("I") else image.mode
    return Header("jpeg" if kind == "MPO" else kind.lower(), mode, quality, moving, _exif_time(image))


def _exif_time(image: Image.Image) -> float | None:
    try:
        exif = image.getexif().get_ifd(EXIF_IFD)
        text = str(exif[DATE_TIME_ORIGINAL]).strip().strip("\0")
        fraction = float(f"0.{str(exif.get(SUBSECONDS, 0)).strip() or 0}")
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp() + fraction
    except HEADER_FAULTS:
        return None


@cache
def nearest_quality(table: tuple[int, ...]) -> int:
    """Quality 1-100 whose brightness table lies nearest; libjpeg's own tables are taken from pictures made with it."""
    return min(_tables(), key=lambda q: sum(abs(a - b) for a, b in zip(_tables()[q], table, strict=False)))


@cache
def _tables() -> dict[int, tuple[int, ...]]:
    tables = {}
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        tables[quality] = tuple(Image.open(file).quantization[0])  # type: ignore[attr-defined]
    return tables


def time_taken(path: Path) -> float | None:
    """Seconds since 1970 by the camera's clock: EXIF, else a time in the file's name. A file's own date is not trusted:
    copying and unpacking change it."""
    taken = read_header(path).taken_s
    return taken if taken is not None else time_in_name(path.name)


def time_in_name(name: str) -> float | None:
    """``2026-11-23T08-15-02``, ``20261123_081502.123``, ``IMG_20261123_081502``, ``1795421702``; None without one."""
    if stamp := STAMP.search(name):
        year, month, day, hour, minute, second = (int(part) for part in stamp.groups()[:6])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        return moment.timestamp() + int(stamp[7] or 0) / 1000
    if epoch := EPOCH.search(name):
        return int(epoch[1]) + int(epoch[2] or 0) / 1000
    return None
