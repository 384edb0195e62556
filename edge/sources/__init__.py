"""Where frames come from."""

from __future__ import annotations

from pathlib import Path

from edge.sources.base import CameraSettings, Pace, Source, SourceLost, SourceStalled
from edge.sources.video import VideoFile

__all__ = ["CameraSettings", "Pace", "Source", "SourceLost", "SourceStalled", "open_source"]


def open_source(
    spec: str,
    *,
    pace: Pace = "max",
    settings: CameraSettings = CameraSettings(),  # noqa: B008
    password: str | None = None,
    images_fps: float = 5.0,
) -> Source:
    return VideoFile(Path(spec), spec)
