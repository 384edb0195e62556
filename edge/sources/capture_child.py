"""The process that holds a camera or stream which OpenCV may never let go of, so that it can be killed.

Run as a script by ``live.py``; imports nothing of ours. OpenCV's ``read`` can block for ever on RTSP and V4L2 (OpenCV
issues 24393, 22677, 4506), and no thread can be killed.

In:  one line of JSON: ``{"open": ADDRESS, "backend": "FFMPEG" or "V4L2", "parameters": [...], "alarm_s": SECONDS}``.
     The address may hold a password, so it comes by this pipe and never stands in an argument list.
     Then one byte for every frame that is wanted. The end of the input ends the process.
Out: one line of JSON, ``{"opened": true}`` or ``{"failed": KIND}`` (``refused``, ``missing`` or ``unavailable``). For
     every byte one line, ``{"index": N, "mono_s": T, "utc_s": T, "shape": [H, W, 3]}`` and H * W * 3 bytes, or ``{"lost": true}``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from typing import Any

import cv2

POLL_S = 0.5  # how often a waiting child looks whether its parent is still there
RELEASE_S = 1.0  # for a goodbye to the camera (RTSP TEARDOWN frees its session); then the process ends all the same


class Newest:
    """A mailbox for one frame: the reader thread overwrites it, the main thread takes from it."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._changed = threading.Condition()
        self._frame: tuple[dict[str, Any], Any] | None = None
        self._lost = False
        self._stop = False
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        index = 0
        while not self._stop:
            found, image = self._capture.read()
            header = {"index": index, "mono_s": time.monotonic(), "utc_s": time.time()}
            with self._changed:
                self._frame, self._lost = ((header, image), False) if found else (self._frame, True)
                self._changed.notify()
            if not found:
                return
            index += 1

    def take(self, wait_s: float) -> tuple[dict[str, Any], Any] | None:
        """The newest frame that was not taken yet, None when there is none in time. Raises EOFError when the stream is lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._lost, wait_s)
            frame, self._frame = self._frame, None
            if frame is None and self._lost:
                raise EOFError
            return frame

    def release(self) -> None:
        self._stop = True
        self._thread.join(RELEASE_S)
        if not self._thread.is_alive():
            self._capture.release()


def say(message: dict[str, Any], body: memoryview | None = None) -> None:
    out = sys.stdout.buffer
    out.write(json.dumps(message).encode() + b"\n")
    if body is not None:
        out.write(body)
    out.flush()


def open_capture(job: dict[str, Any]) -> cv2.VideoCapture | None:
    """Open, or say why not. What FFmpeg writes to stderr is read for the reason and then thrown away, as it may name the address."""
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        capture = cv2.VideoCapture(job["open"], getattr(cv2, f"CAP_{job['backend']}"), job["parameters"])
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        if capture.isOpened():
            return capture
        chatter.seek(0)
        say({"failed": reason(chatter.read())})
        return None


def reason(chatter: bytes) -> str:
    """Which kind of failure FFmpeg's words tell of."""
    if b"401 Unauthorized" in chatter or b"403 Forbidden" in chatter:
        return "refused"
    if any(
        words in chatter for words in (b"404 Not Found", b"Connection refused", b"No route to host", b"resolve host")
    ):
        return "missing"
    return "unavailable"


def serve(newest: Newest) -> None:
    """Answer every byte with a frame, until the input ends or the stream is lost."""
    while os.read(0, 1):
        frame = None
        while frame is None:
            frame = newest.take(POLL_S)
            if frame is None and select.select([0], [], [], 0)[0] and not os.read(0, 1):
                return
        header, image = frame
        say({**header, "shape": image.shape, "dtype": str(image.dtype)}, memoryview(image).cast("B"))


def main() -> None:
    line = b""
    while not line.endswith(b"\n"):  # byte by byte: what follows the line is not to be swallowed by a buffer
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    job = json.loads(line)
    signal.alarm(job["alarm_s"])  # should opening hang and the parent be gone, this ends the process
    capture = open_capture(job)
    signal.alarm(0)
    if capture is None:
        return
    say({"opened": True})
    newest = Newest(capture)
    try:
        serve(newest)
    except EOFError:
        say({"lost": True})
    except BrokenPipeError:
        pass
    newest.release()


if __name__ == "__main__":
    main()
    os._exit(0)  # a reader thread that hangs in OpenCV must not keep the process
