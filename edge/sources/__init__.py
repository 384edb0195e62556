"""Where frames come from: one interface before files, cameras, streams and faults on purpose.

Which module holds what: ``base`` the interface and its errors, ``video`` and ``container`` video files, ``images``
pictures, ``paced`` a file in real time, ``live`` and ``capture_child`` what OpenCV captures, ``v4l2``, ``rtsp``,
``picamera`` the cameras, ``scripted`` the faults.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from edge.errors import InputMissing, Refused, UsageError
from edge.passwords import masked
from edge.sources.base import CameraSettings, NotYetDue, Pace, Source, SourceLost, SourceStalled
from edge.sources.images import SUFFIXES, ImageFiles, images_in, natural_key, read_image
from edge.sources.paced import Paced
from edge.sources.picamera import Picamera2Source
from edge.sources.rtsp import open_rtsp
from edge.sources.scripted import ScriptedSource, load_script
from edge.sources.v4l2 import open_v4l2
from edge.sources.video import VideoFile

__all__ = [
    "CameraSettings",
    "NotYetDue",
    "Pace",
    "Source",
    "SourceLost",
    "SourceStalled",
    "is_camera",
    "open_source",
    "read_image",
]

KNOWN = "a video file, a folder or glob of images, v4l2:/dev/video0, picamera2:0, rtsp://host/path, scripted:FILE.toml"
DEFAULT_SETTINGS = CameraSettings()


def is_camera(spec: str) -> bool:
    """Something that gives frames for ever, and may be away for a while; a script stands for one."""
    return spec.lower().startswith(("v4l2:", "picamera2:", "rtsp://", "rtsps://", "scripted:"))


def open_source(
    spec: str,
    *,
    pace: Pace = "max",
    settings: CameraSettings = DEFAULT_SETTINGS,
    password: str | None = None,
    images_fps: float = 5.0,
) -> Source:
    """Open what the user named.

    pace: of files: ``max`` gives every frame as fast as it is read, ``live`` plays in real time and drops stale ones.
    settings: of cameras; files have their own. password: of ``rtsp://``, from a file. images_fps: pictures per second
    of a folder.

    Raises UsageError for a source of an unknown kind, InputMissing for one that is not there, Refused for one that may
    not be used, Unavailable for a camera that cannot be opened, DataError for a file that cannot be read.
    """
    if spec.startswith("v4l2:"):
        return open_v4l2(spec, settings)
    if spec.startswith("picamera2:"):
        return Picamera2Source(spec, settings)
    if spec.lower().startswith(("rtsp://", "rtsps://")):
        return open_rtsp(spec, settings, password)
    if spec.startswith("scripted:"):
        path = Path(spec.removeprefix("scripted:"))
        script = load_script(path, lambda inner: open_file(inner, images_fps))
        return ScriptedSource(script, spec, pace == "live", path.absolute())
    inner = open_file(spec, images_fps)
    return Paced(inner) if pace == "live" else inner


def open_file(spec: str, images_fps: float) -> Source:
    """A video file, or one image, a folder or a glob of images."""
    path = Path(spec)
    if spec and path.is_dir():
        return ImageFiles(_listed(path), spec, images_fps)
    if spec and path.exists():
        if path.is_char_device():
            raise UsageError(f"{spec} is a device", f"a camera is given as v4l2:{spec}")
        return ImageFiles([path], spec, images_fps) if path.suffix.lower() in SUFFIXES else VideoFile(path, spec)
    if glob.has_magic(spec) and "://" not in spec:
        matches = [Path(match) for match in glob.glob(spec, recursive=True)]  # noqa: PTH207
        return ImageFiles(sorted(filter(Path.is_file, matches), key=natural_key), spec, images_fps)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", spec) or not spec:
        raise UsageError(f"{masked(spec)!r} is not a source", f"give {KNOWN}")
    raise InputMissing(f"{masked(spec)}: no such file or folder", f"a source is {KNOWN}")


def _listed(folder: Path) -> list[Path]:
    try:
        return images_in(folder)
    except PermissionError as error:
        raise Refused(f"{folder} may not be listed by this user", "change its permissions") from error
