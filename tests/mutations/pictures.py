"""Pictures and videos that a dying card, a cut line or a stranger spoilt."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.records import ImageU8
from edge.sources.images import read_image
from tests.edge.bundles import DATA
from tests.mutations import SPOILERS

HEAD_BYTES: Final = 200  # where sizes, kinds and lengths stand
ABSURD: Final = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SUFFIXES: Final = ("jpg", "png", "bmp", "webp", "tiff", "jp2", "ppm")
EMPTY: Final = {  # a head that promises no pixel, and nothing else
    "png": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(8) + b"\x08\x02\0\0\0" + bytes(4) + b"\0\0\0\0IEND\xaeB`\x82",
    "ppm": b"P6\n0 0\n255\n",
    "pgm": b"P5\n4294967296 1\n255\n",
    "jpg": b"\xff\xd8\xff\xd9",
    "bmp": b"BM" + bytes(52),
}


def good_pictures() -> list[tuple[str, bytes]]:
    """(suffix, bytes), of every kind that is read: colour, grey, alpha, 16 bits."""
    face = cv2.resize(read_image(DATA / "portrait_bare.jpg"), (96, 120), interpolation=cv2.INTER_AREA)
    grey, alpha = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.cvtColor(face, cv2.COLOR_BGR2BGRA)
    deep = face.astype(np.uint16) * 257
    kinds = [(suffix, picture) for suffix in SUFFIXES for picture in (face, grey)]
    kinds += [(suffix, alpha) for suffix in ("png", "webp", "tiff")] + [
        (suffix, deep) for suffix in ("png", "tiff", "ppm")
    ]
    made = [
        (suffix, cv2.imencode(f".{suffix}", picture)[1].tobytes())
        for suffix, picture in kinds
        if suffix != "ppm" or picture.ndim == 3
    ]
    return [*made, ("jpg", (DATA / "portrait_exif6.jpg").read_bytes()), *EMPTY.items()]


def absurd(data: bytes, draw: random.Random) -> bytes:
    """A number in the head is one that cannot be, or can just be."""
    width, order = draw.choice("BHI"), draw.choice("<>")
    size = struct.calcsize(width)
    if len(data) <= size:
        return data
    at = draw.randrange(min(HEAD_BYTES, len(data) - size))
    value = draw.choice(ABSURD) & ((1 << 8 * size) - 1)
    return data[:at] + struct.pack(order + width, value) + data[at + size :]


def zeroed(data: bytes, draw: random.Random) -> bytes:
    """The end is zeros, as a power cut leaves it."""
    kept = draw.randrange(len(data) + 1)
    return data[:kept] + bytes(len(data) - kept)


def spoilt(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 2, 4))):
        data = draw.choice((*SPOILERS, absurd, absurd, absurd, zeroed))(data, draw)
    return data


def good_videos(folder: Path) -> list[Path]:
    """A face for a second, in the containers and codings that are met."""
    face = cv2.resize(read_image(DATA / "portrait_bare.jpg"), (96, 120), interpolation=cv2.INTER_AREA)
    raw = b"".join(np.roll(face, step, axis=1).tobytes() for step in range(12))
    given = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "96x120", "-r", "10", "-i", "-"]
    made = []
    for name, coding in (
        ("a.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("b.mkv", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("c.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        (
            "d.ts",
            (
                "-c:v",
                "mpeg2video",
            ),
        ),
        ("e.gif", ()),
    ):
        made.append(folder / name)
        subprocess.run(["ffmpeg", "-v", "error", "-y", *given, *coding, str(made[-1])], input=raw, check=True)
    return made


def odd_frame(draw: random.Random) -> tuple[str, npt.NDArray[Any]]:
    """What a camera's driver may hand over: what it is, and the array."""
    height, width = (draw.choice((0, 1, 2, 3, 17, 120, 480, 3000)) for _ in range(2))
    channels = draw.choice((None, 1, 2, 3, 3, 3, 4, 5))
    kind = np.dtype(draw.choice(("u1", "u1", "u1", "u1", "u2", "f4", "i2", "f8", "?")))
    shape = (height, width) if channels is None else (height, width, channels)
    if height * width > 500_000:
        kind = np.dtype("u1")
    how = draw.choice(("noise", "zero", "full", "face"))
    noise = np.random.default_rng(draw.randrange(2**32))
    if how == "face":
        array = _face(shape).astype(kind)
    elif how == "noise":
        array = noise.integers(0, 256, shape).astype(kind)
    else:
        array = np.full(shape, 0 if how == "zero" else np.nan if kind.kind == "f" else 255).astype(kind)
    turned = draw.choice(("", "", "mirrored", "every other pixel", "turned"))
    odd = {"": array, "mirrored": array[:, ::-1], "every other pixel": array[::2, ::2], "turned": array.swapaxes(0, 1)}
    return f"{how} {shape} {kind} {turned}", odd[turned]


def _face(shape: tuple[int, ...]) -> ImageU8:
    """The portrait drawn over whatever that shape is."""
    portrait = read_image(DATA / "portrait_bare.jpg")
    rows = np.linspace(0, portrait.shape[0] - 1, shape[0]).astype(int)
    columns = np.linspace(0, portrait.shape[1] - 1, shape[1]).astype(int)
    drawn: ImageU8 = portrait[rows][:, columns]
    return drawn[:, :, 0] if len(shape) == 2 else np.resize(drawn, shape)
