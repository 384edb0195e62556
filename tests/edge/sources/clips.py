"""Small real files for the tests, made by ffmpeg; and readers of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.records import Frame
from edge.sources.base import Source

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed: apt install ffmpeg")


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def make_clip(path: Path, *options: str, size: str = "160x120", seconds: float = 2.0, fps: int = 25) -> Path:
    """A moving test picture of ``seconds * fps`` frames."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate={fps}:duration={seconds}", *options, path)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """A copy of which only the first part is there."""
    data = path.read_bytes()
    shorter = path.with_name(f"cut_{path.name}")
    shorter.write_bytes(data[: int(len(data) * share)])
    return shorter


def zero_end(path: Path) -> Path:
    """A copy of the right length whose second half is zeros, as a power cut leaves it."""
    data = path.read_bytes()
    half = len(data) // 2
    damaged = path.with_name(f"zero_{path.name}")
    damaged.write_bytes(data[:half] + bytes(len(data) - half))
    return damaged


def read_all(source: Source) -> list[Frame]:
    frames = []
    with source:
        while (frame := source.read(1.0)) is not None:
            frames.append(frame)
    return frames


def read_until_error(source: Source) -> tuple[list[Frame], EdgeError]:
    """The good frames and the error that came after them."""
    frames = []
    with source:
        try:
            while (frame := source.read(1.0)) is not None:
                frames.append(frame)
        except EdgeError as error:
            return frames, error
    raise AssertionError("the source ended without an error")
