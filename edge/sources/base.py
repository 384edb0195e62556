"""What every source is: a name, a ``read`` with a limit in time, a ``close`` that ends.

Unavailable                 (edge.errors, exit 69)
└── SourceLost              a camera or stream that worked has stopped giving frames: close it and open it again
    └── SourceStalled       nothing came in time; it may still come
        └── NotYetDue       a file in real time: its next frame is known to come later
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError, DataError, EdgeError, Unavailable
from edge.opencv import cv2
from edge.records import Frame, ImageU8

Pace = Literal["live", "max"]
QUARTER_TURNS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class SourceLost(Unavailable):
    """A live source broke off."""


class SourceStuck(EdgeError):
    """A call into the camera's driver never came back. Only another process can open it again: end this one."""

    exit_code = 69


class SourceStalled(SourceLost):
    """A live source gave no frame in time."""


class NotYetDue(SourceStalled):
    """A file in real time has nothing to show yet; however long that takes, nothing is wrong."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What is asked of a camera; files have their own size, rate and rotation.

    width, height: pixels before rotation; a camera may answer with the nearest it can. fps: frames per second.
    rotation: degrees clockwise that bring the picture upright: 0, 90, 180 or 270.
    open_timeout_s: how long opening may take.
    """

    width: int = 1280
    height: int = 720
    fps: float = 15.0
    rotation: int = 0
    open_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.rotation not in (0, 90, 180, 270):
            raise ConfigError(f"camera.rotation must be 0, 90, 180 or 270, is {self.rotation}")
        if not 1 <= self.width <= 10_000 or not 1 <= self.height <= 10_000:
            raise ConfigError(f"camera.width and height must be 1-10000, are {self.width} and {self.height}")
        if not 0 < self.fps <= 240:
            raise ConfigError(f"camera.fps must be over 0 and at most 240, is {self.fps}")
        if not 0 < self.open_timeout_s <= 120:
            raise ConfigError(f"camera.open_timeout_s must be over 0 and at most 120, is {self.open_timeout_s}")


class Source(Protocol):
    """Frames of one camera or file, in order of time.

    name: as given on the command line, without any password.
    live: True: the newest frame wins and stale ones are dropped (a camera, or a file at ``--pace live``);
    False: every frame, in order.
    dropped: frames that nobody took, so far.
    """

    name: str
    live: bool

    @property
    def dropped(self) -> int: ...

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when the source has ended (files only).

        Raises SourceStalled when nothing came in ``timeout_s`` seconds, SourceLost when the camera broke off, and
        DataError for a broken file, after all its good frames were given.
        """
        ...

    def close(self) -> None:
        """Let go of the device, in bounded time. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Closing:
    """A context manager that closes itself; shared by all sources."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_bgr(image: npt.NDArray[Any]) -> ImageU8:
    """Bring a decoded picture to (height, width, 3) uint8 BGR: grey is spread, alpha dropped, 16 bits become 8.

    Raises DataError for a picture without pixels or of any other kind.
    """
    if image.size == 0 or image.ndim not in (2, 3):
        raise DataError(f"a picture without pixels: shape {image.shape}")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        raise DataError(f"a picture of {channels} channels of {image.dtype} is not one that can be used")
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def turn(image_bgr: ImageU8, degrees_clockwise: int) -> ImageU8:
    """Rotate by a multiple of 90 degrees; 0 gives the picture itself."""
    if degrees_clockwise == 0:
        return image_bgr
    return cv2.rotate(image_bgr, QUARTER_TURNS[degrees_clockwise]).astype(np.uint8, copy=False)
