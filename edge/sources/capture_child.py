"""The process that holds a camera or stream which OpenCV may never let go of, so that it can be killed.

Run as a script by ``live.py``; imports nothing of ours. OpenCV's ``read`` can block for ever on RTSP and V4L2 (OpenCV
issues 24393, 22677, 4506), and no thread can be killed.

In:  one line of JSON: ``{"open": ADDRESS, "backend": "FFMPEG" or "V4L2", "parameters": [...], "alarm_s": SECONDS}``.
     The address may hold a password, so it comes by this pipe and never stands in an argument list.
     Then one byte for every frame that is wanted. The end of the input ends the process.
Out: one line of JSON, ``{"opened": true}`` or ``{"failed": KIND}`` (``refused``, ``missing`` or ``unavailable``). For
     every byte ``{"index": N, "mono_s": T, "utc_s": T, "shape": [H, W, 3], "dtype": "uint8"}`` as a line, and the
     pixels; or the line ``{"lost": true}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import threading
import time
from typing import Any

import cv2

POLL_S = 0.5  # how often a waiting child looks whether its parent is still there
RELEASE_S = 1.0  # for a goodbye to the camera (RTSP TEARDOWN frees its session); then the process ends all the same

MISSING_WORDS = (b"Connection refused", b"No route to host", b"Failed to resolve hostname")


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
        """The newest frame not taken yet, None when there is none in time. Raises EOFError when the stream is lost."""
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


class Answers:
    """The pipe to the parent. OpenCV and FFmpeg print to stdout too, so it moves away and they print elsewhere."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(os.dup(1), "wb")
        self._chatter = os.fdopen(os.memfd_create("chatter"), "w+b")  # a camera needs no disk, and no disk needs this
        os.dup2(self._chatter.fileno(), 1)
        os.dup2(self._chatter.fileno(), 2)

    def say(self, message: dict[str, Any], body: memoryview | None = None) -> None:
        self._pipe.write(json.dumps(message).encode() + b"\n")
        if body is not None:
            self._pipe.write(body)
        self._pipe.flush()

    def overheard(self) -> bytes:
        """What the libraries printed so far. It may name the address with its password: it goes no further."""
        ctypes.CDLL(None).fflush(None)
        self._chatter.seek(0)
        return self._chatter.read()

    def silence(self) -> None:
        """Nobody listens from now on, and no file grows."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        self._chatter.close()


def open_capture(job: dict[str, Any]) -> cv2.VideoCapture:
    return cv2.VideoCapture(job["open"], getattr(cv2, f"CAP_{job['backend']}"), job["parameters"])


def reason(chatter: bytes) -> str:
    """Which kind of failure FFmpeg's words tell of, such as ``DESCRIBE failed: 401 (Unauthorized)``."""
    answer = re.search(rb"failed: \(?([45]\d\d)\b", chatter)
    if answer and answer[1] in (b"401", b"403"):
        return "refused"
    if (answer and answer[1] == b"404") or any(words in chatter for words in MISSING_WORDS):
        return "missing"
    return "unavailable"


def serve(newest: Newest, answers: Answers) -> None:
    """Answer every byte with a frame, until the input ends or the stream is lost."""
    while os.read(0, 1):
        frame = None
        while frame is None:
            frame = newest.take(POLL_S)
            if frame is None and select.select([0], [], [], 0)[0] and not os.read(0, 1):
                return
        header, image = frame
        answers.say(
            {**header, "shape": image.shape, "dtype": str(image.dtype)},
            memoryview(image).cast("B") if image.size else None,
        )


def read_job() -> dict[str, Any] | None:
    """The first line of the input; byte by byte, for what follows must not be swallowed by a buffer."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return None
        line += byte
    job: dict[str, Any] = json.loads(line)
    return job


def main() -> None:
    answers, job = Answers(), read_job()
    if job is None:
        return
    signal.alarm(job["alarm_s"])  # should opening hang and the parent be gone, this ends the process
    capture = open_capture(job)
    signal.alarm(0)
    if not capture.isOpened():
        answers.say({"failed": reason(answers.overheard())})
        return
    answers.silence()
    answers.say({"opened": True})
    newest = Newest(capture)
    try:
        serve(newest, answers)
    except EOFError:
        answers.say({"lost": True})
    except BrokenPipeError:
        pass
    newest.release()


if __name__ == "__main__":
    main()
    os._exit(0)  # a reader thread that hangs in OpenCV must not keep the process
