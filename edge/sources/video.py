"""Video files: every frame, upright, with its true time, and a word when the file was cut."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from edge.errors import DataError, InputMissing, Refused
from edge.opencv import MAX_PIXELS, cv2
from edge.records import Frame, ImageU8
from edge.sources.base import Closing, as_bgr
from edge.sources.container import Container, examine

SLACK_S: Final = 0.5  # how much earlier than announced a healthy file may end: rounding, a last frame shown for longer
SLACK_SHARE: Final = 0.05
GUESS_SLACK_SHARE: Final = 0.25  # where the announced length is FFmpeg's estimate, or that of the sound
EXACT_COUNT: Final = ("mp4", "avi")  # their index lists every frame
DEFAULT_FPS: Final = 25.0


class VideoFile(Closing):
    """Every frame of a video file, in order.

    OpenCV applies the rotation that the file names; we never turn it again. ``CAP_PROP_POS_MSEC`` tells the time of a
    frame after it was read (before, that of the one before it), counted from the stream's start.
    """

    live = False
    dropped = 0

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or str(path)
        self._container = _examine(path, self.name)
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise DataError(f"{self.name} is not a video that can be read: {_why_unreadable(self._container)}")
        _check_size(self._capture, self.name)
        self._fps = _sane(self._capture.get(cv2.CAP_PROP_FPS), 1000) or DEFAULT_FPS
        self._count = int(_sane(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 1e9))
        self._frames = 0
        self._last_t_s = -1.0
        self._longest_gap_s = 1 / self._fps

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; a file needs no time limit."""
        image = self._decode()
        if image is None:
            self._check_end()
            return None
        frame = Frame(image, self._frames, self._next_t_s(), time.time())
        self._frames += 1
        return frame

    def close(self) -> None:
        self._capture.release()

    def _decode(self) -> ImageU8 | None:
        try:
            found, image = self._capture.read()
        except cv2.error:  # a picture that OpenCV cannot convert ends the file as a cut does
            return None
        return as_bgr(image) if found else None

    def _next_t_s(self) -> float:
        """Time of the frame just read; where the file has none (raw streams, a last frame in MPEG-PS), the rate's."""
        t_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if self._last_t_s < 0:
            t_s = max(0.0, t_s)
        elif t_s <= self._last_t_s:
            t_s = self._last_t_s + 1 / self._fps
        else:
            self._longest_gap_s = max(self._longest_gap_s, t_s - self._last_t_s)
        self._last_t_s = t_s
        return t_s

    def _check_end(self) -> None:
        if self._frames == 0:
            raise DataError(f"{self.name} has no frame that can be decoded: {_why_unreadable(self._container)}")
        if self._container.cut or self._ends_early():
            of = f" of {self._count}" if self._count > self._frames else ""
            why = f" ({self._container.cut})" if self._container.cut else ""
            raise DataError(f"{self.name} ends early: {self._frames}{of} frames; what was read was used{why}")

    def _ends_early(self) -> bool:
        """Did the decoder stop well before the announced end? It does where zeros took the place of a cut-off end."""
        if self._count <= self._frames and self._container.kind in EXACT_COUNT:
            return False
        length_s, share = self._container.length_s, SLACK_SHARE
        if length_s is None:
            length_s, share = self._count / self._fps, GUESS_SLACK_SHARE
            if self._container.kind in ("mp4", "mkv"):  # what they leave open, FFmpeg cannot know either
                return False
        end_s = self._last_t_s + 1 / self._fps
        return length_s - end_s > max(SLACK_S, share * length_s, 2 * self._longest_gap_s)


def _examine(path: Path, name: str) -> Container:
    if not path.exists():
        raise InputMissing(f"{name}: no such file or folder")
    if not path.is_file():
        raise DataError(f"{name} is not a regular file; give a video file, a folder or a glob of images")
    try:
        container = examine(path)
    except PermissionError as error:
        raise Refused(f"{name} may not be read by this user: change its permissions") from error
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    if container.kind == "text":
        raise DataError(f"{name} is not a video that can be read: it holds text")
    return container


def _why_unreadable(container: Container) -> str:
    known = f"it is {container.kind}, but without a video track that FFmpeg can decode"
    return container.cut or (known if container.kind else "its format is not known")


def _check_size(capture: cv2.VideoCapture, name: str) -> None:
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if width * height > MAX_PIXELS:
        raise DataError(f"{name} is too large: {width:.0f} x {height:.0f}, at most {MAX_PIXELS:,} pixels are read")


def _sane(value: float, most: float) -> float:
    """What OpenCV tells of a file, 0 where it is one of its nonsense values (-2.3e17 frames, NaN)."""
    return float(value) if 0 < value <= most else 0.0
