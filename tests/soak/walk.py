"""A video of people who come and go, of any length: a walk of a minute is drawn once, and repeated."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.records import ImageU8
from edge.sources.images import read_image

FACES: Final = Path(__file__).parents[2] / "demo" / "golden"
WIDTH_PX, HEIGHT_PX, FPS = 192, 144, 10
FACE_PX: Final = 84  # of the crop; the face in it has about two thirds
ACROSS: Final = 30  # frames from the left edge to the right one
PAUSE: Final = 24  # frames without anybody: longer than ``track.return_s``
PEOPLE: Final = 24  # in a walk


def make_walk(path: Path, frames: int, seed: int) -> Path:
    """At least so many frames, H.264.

    path: ends in .mkv. An MP4's index of all its frames is read at every opening, and megabytes that come and go are no
    measure of what a camera leaves behind.
    """
    once = path.with_name("once.mkv")
    size = f"{WIDTH_PX}x{HEIGHT_PX}"
    drawn = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(FPS), "-i", "-"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryfast", "-g", "100", "-bf", "0", str(once)]
    _ffmpeg(*drawn, *coded, data=b"".join(picture.tobytes() for picture in _pictures(seed)))
    again = frames // (PEOPLE * (ACROSS + PAUSE))
    _ffmpeg("-stream_loop", str(again), "-i", str(once), "-c", "copy", str(path))
    return path


def _pictures(seed: int) -> list[ImageU8]:
    """(HEIGHT_PX, WIDTH_PX, 3) uint8 BGR each: a noisy wall, and now and then a face that goes by."""
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    wall = cv2.GaussianBlur(noise.integers(60, 200, (HEIGHT_PX, WIDTH_PX, 3)).astype(np.uint8), (0, 0), 6)
    faces = [cv2.resize(read_image(path), (FACE_PX, FACE_PX)) for path in sorted(FACES.glob("*.png"))]
    pictures = []
    for _ in range(PEOPLE):
        face, top = draw.choice(faces), draw.randrange(HEIGHT_PX - FACE_PX)
        for step in range(ACROSS + PAUSE):
            grain = noise.integers(0, 6, wall.shape, np.uint8)
            picture = cv2.add(wall, grain).astype(np.uint8, copy=False)
            if step < ACROSS:
                left = step * (WIDTH_PX - FACE_PX) // ACROSS
                picture[top : top + FACE_PX, left : left + FACE_PX] = face
            pictures.append(picture)
    return pictures


def _ffmpeg(*words: str, data: bytes = b"") -> None:
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *words], input=data, check=True)
