"""Cameras and streams through OpenCV, each held by a child process that can be killed."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError, EdgeError, InputMissing, Refused, Unavailable
from edge.opencv import MAX_PIXELS, SETTINGS
from edge.records import Frame
from edge.sources.base import CameraSettings, Closing, SourceLost, SourceStalled, as_bgr, turn

CHILD: Final = (sys.executable, "-P", str(Path(__file__).with_name("capture_child.py")))
CHILD_START_S: Final = 10.0  # Python with OpenCV is up in 0.3 s here, in seconds from a cold SD card
STALE_S: Final = 1.0  # an older frame is not worth a look: the next is awaited
BODY_S: Final = 5.0  # a frame whose first bytes came must be whole by then
EXIT_S: Final = 2.0  # the child's goodbye to the camera
MAX_HEADER_BYTES: Final = 4096


class Child:
    """A capture child and the two pipes to it. Every wait has a limit; nothing of it survives ``close``."""

    def __init__(self, job: dict[str, Any], command: Sequence[str] = CHILD) -> None:
        environment = {**SETTINGS, **os.environ, "OPENCV_FFMPEG_LOGLEVEL": "16"}  # its errors are read for the reason
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._line = b""
        self.send(json.dumps(job).encode() + b"\n")

    def send(self, data: bytes) -> None:
        """Write a few bytes; SourceLost when the child has died."""
        try:
            self._input.write(data)
        except OSError as error:
            raise SourceLost("its process has died") from error

    def message(self, deadline_s: float) -> dict[str, Any] | None:
        """The next line of JSON, None when it is not there by ``deadline_s`` (monotonic). SourceLost: it has died."""
        while not self._line.endswith(b"\n"):
            if not self._readable(deadline_s):
                return None
            byte = os.read(self._output.fileno(), 1)
            self._line += byte
            if not byte or len(self._line) > MAX_HEADER_BYTES:
                raise SourceLost("its process has died")
        line, self._line = self._line, b""
        message: dict[str, Any] = json.loads(line)
        return message

    def body(self, size: int) -> bytearray:
        """``size`` bytes that follow a message."""
        data = bytearray(size)
        view, deadline_s = memoryview(data), time.monotonic() + BODY_S
        while view:
            if not self._readable(deadline_s):
                raise SourceLost("its process stopped in the middle of a frame")
            count = os.readv(self._output.fileno(), [view])
            if count == 0:
                raise SourceLost("its process has died")
            view = view[count:]
        return data

    def _readable(self, deadline_s: float) -> bool:
        left_s = max(0.0, deadline_s - time.monotonic())
        return bool(select.select([self._output], [], [], left_s)[0])

    def close(self) -> None:
        """End the child: the end of its input asks it to, a kill makes it."""
        self._input.close()
        try:
            self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


class ChildSource(Closing):
    """A live source whose frames come from a capture child: always the newest, at most one asked for at a time."""

    live = True

    def __init__(
        self, name: str, job: dict[str, Any], settings: CameraSettings, command: Sequence[str] = CHILD
    ) -> None:
        self.name = name
        self.dropped = 0
        self._rotation = settings.rotation
        self._asked = False
        self._taken = 0
        self._opened_s = time.monotonic()
        job = {**job, "alarm_s": int(CHILD_START_S + settings.open_timeout_s) + 1}
        self._child = Child(job, command)
        try:
            self._await_open(settings.open_timeout_s)
        except BaseException:
            self.close()
            raise

    def _await_open(self, open_timeout_s: float) -> None:
        try:
            answer = self._child.message(time.monotonic() + CHILD_START_S + open_timeout_s)
        except SourceLost as error:
            raise Unavailable(f"{self.name} cannot be opened: {error}") from error
        if answer is None or "opened" not in answer:
            raise _not_opened(self.name, "unavailable" if answer is None else str(answer.get("failed")))
        self._opened_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame. One that is stale, or no picture (0 x 0, an odd kind), is dropped and the next awaited."""
        deadline_s = time.monotonic() + timeout_s
        fresh_from_s = time.monotonic() - STALE_S
        try:
            while (header := self._next_header(deadline_s)) is not None:
                frame = self._frame_of(header)
                if frame is not None and header["mono_s"] >= fresh_from_s:
                    self._taken += 1
                    self.dropped = header["index"] + 1 - self._taken
                    return frame
        except SourceLost as error:
            raise SourceLost(f"{self.name} broke off: {error}") from error
        raise SourceStalled(f"{self.name}: no frame within {timeout_s:g} s")

    def close(self) -> None:
        self._child.close()

    def _next_header(self, deadline_s: float) -> dict[str, Any] | None:
        """What stands before the next frame, None when it does not come in time; then it stays asked for."""
        if not self._asked:
            self._child.send(b".")
            self._asked = True
        header = self._child.message(deadline_s)
        if header is not None and "lost" in header:
            raise SourceLost("it gives no more frames")
        return header

    def _frame_of(self, header: dict[str, Any]) -> Frame | None:
        """The frame that follows its header, None where it is no picture."""
        shape, dtype = tuple(header["shape"]), np.dtype(header["dtype"])
        size = int(np.prod(shape)) * dtype.itemsize
        if size > 4 * MAX_PIXELS:
            raise SourceLost(f"a frame of {size:,} bytes is too large")
        data = self._child.body(size)
        self._asked = False
        try:
            image = turn(as_bgr(np.frombuffer(data, dtype).reshape(shape)), self._rotation)
        except DataError:
            return None
        return Frame(image, header["index"], max(0.0, header["mono_s"] - self._opened_s), header["utc_s"])


def _not_opened(name: str, kind: str) -> EdgeError:
    if kind == "refused":
        return Refused(f"{name} refuses the login", "check the user in the address and the password file")
    if kind == "missing":
        return InputMissing(f"{name} is not there", "check the address, the network and the camera's power")
    return Unavailable(
        f"{name} cannot be opened: it does not answer as a camera", "see whether another program holds it"
    )
