"""``v4l2:/dev/video0``: a USB camera, or any other that the kernel shows as a video device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edge.errors import InputMissing, Refused, UsageError
from edge.opencv import cv2
from edge.sources.base import CameraSettings
from edge.sources.live import ChildSource

MJPEG_FROM_PIXELS: Final = 640 * 480  # above it USB 2 is too slow for raw pictures at a useful rate


def open_v4l2(spec: str, settings: CameraSettings) -> ChildSource:
    """Open a device. The camera answers with the size and rate nearest to the settings that it can."""
    path = Path(spec.removeprefix("v4l2:"))
    if not path.is_absolute():
        raise UsageError(f"{spec} names no device", "give the device as a path, such as v4l2:/dev/video0")
    if not path.exists():
        raise InputMissing(f"{spec} is not there", f"plug the camera in; {_devices()}")
    if not stat.S_ISCHR(path.stat().st_mode):
        raise InputMissing(f"{spec} is not a camera device")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Refused(f"{spec} may not be used by this user", "add the user to the group video")
    parameters = [
        *((cv2.CAP_PROP_FOURCC, _fourcc("MJPG")) if settings.width * settings.height > MJPEG_FROM_PIXELS else ()),
        *(cv2.CAP_PROP_FRAME_WIDTH, settings.width, cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        *(cv2.CAP_PROP_FPS, round(settings.fps)),
    ]
    return ChildSource(spec, {"open": str(path), "backend": "V4L2", "parameters": parameters}, settings)


def _fourcc(code: str) -> int:
    return int.from_bytes(code.encode(), "little")


def _devices() -> str:
    found = sorted(map(str, Path("/dev").glob("video*")))
    return f"there is {', '.join(found)}" if found else "there is no /dev/video*"
