"""OpenCV with its mouth shut and its limits set. Every module of ``edge`` takes ``cv2`` from here.

FFmpeg and OpenCV write to stderr about every broken file, where our user expects one line of ours. Their settings are
read from the environment at first use, so they must be there before. A value that the user set stays.
"""

from __future__ import annotations

import os
from typing import Final

MAX_PIXELS: Final = 100_000_000  # 300 MB as colour; a phone's 50 megapixels pass, a decompression bomb does not

SETTINGS: Final = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # AV_LOG_QUIET
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "5",  # seconds; OpenCV's own is 10
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)

import cv2  # noqa: E402

if os.environ["OPENCV_LOG_LEVEL"] == "SILENT":  # said again, for a program that imported cv2 before
    # The first is gone from 4.14, the second is not in 4.11 (numpy 1, tflite-runtime).
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_log_level(0)

__all__ = ["MAX_PIXELS", "SETTINGS", "cv2"]
