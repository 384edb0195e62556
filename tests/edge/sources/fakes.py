"""What stands in for time, a camera's library, and a capture child that misbehaves."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import CancelledError, Future
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge.records import ImageU8
from edge.sources.paced import Timer


class FakeTime:
    """Seconds that pass only when waited for, or when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waited_s = 0.0

    def timer(self) -> Timer:
        return Timer(lambda: self.now_s, self.wait)

    def wait(self, seconds: float) -> None:
        self.waited_s += seconds
        self.now_s += seconds


class FakeRequest:
    def __init__(self, camera: FakeCamera, image: ImageU8, number: int) -> None:
        self._camera, self._image, self._number = camera, image, number
        camera.held += 1

    def make_array(self, name: str) -> ImageU8:
        assert name == "main"
        return self._image

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": 5_000_000_000 + self._number * 40_000_000, "FrameDuration": 40_000}

    def release(self) -> None:
        self._camera.held -= 1


class FakeJob:
    """As picamera2's: a future that the camera's thread fills, and that stays in the job list until then."""

    def __init__(self) -> None:
        self.future: Future[FakeRequest] = Future()

    def get_result(self, timeout: float | None = None) -> FakeRequest:
        return self.future.result(timeout=timeout)


class FakeCamera:
    """picamera2's rules, one script of frame numbers: None is a frame that does not come, an error is raised.

    held: requests that were not released. jobs: what still waits for a frame.
    """

    def __init__(self, script: list[int | Exception | None], image: ImageU8) -> None:
        self.script, self.image = script, image
        self.held = 0
        self.jobs: list[FakeJob] = []
        self.settings: dict[str, Any] = {}
        self.closed = False
        self.late: int | None = None
        self.hang = threading.Event()
        self.hang.set()

    def create_video_configuration(self, **settings: Any) -> dict[str, Any]:
        return settings

    def configure(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def start(self) -> None:
        self.hang.wait(5)

    def capture_request(self, wait: bool) -> FakeJob:
        assert wait is False, "a wait without limit"
        assert not self.jobs, "a second capture while one is pending"
        job = FakeJob()
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is None:
            self.jobs.append(job)
        else:
            job.future.set_result(FakeRequest(self, self.image, step))
        return job

    def cancel_all_and_flush(self) -> None:
        for job in self.jobs:
            if self.late is None:
                job.future.set_exception(CancelledError())
            else:  # the frame came between the time-out and this call
                job.future.set_result(FakeRequest(self, self.image, self.late))
        self.jobs = []

    def close(self) -> None:
        self.hang.wait(5)
        self.closed = True


def install_camera(
    monkeypatch: pytest.MonkeyPatch, *script: int | Exception | None, image: ImageU8 | None = None, count: int = 1
) -> FakeCamera:
    """Put a fake ``picamera2`` module with ``count`` cameras where the real one would be imported from."""
    camera = FakeCamera(list(script), np.full((4, 6, 3), 7, np.uint8) if image is None else image)

    class Picamera2:
        def __new__(cls, number: int) -> FakeCamera:  # type: ignore[misc]
            assert number < count
            return camera

        @staticmethod
        def global_camera_info() -> list[dict[str, int]]:
            return [{"Num": i} for i in range(count)]

    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr("edge.sources.picamera._hanging", [])  # of a test before
    return camera


# A capture child by the rules of capture_child.py that does what its first argument says.
STAND_IN = """
import json, os, sys, time
def say(message, body=b""):
    os.write(1, json.dumps(message).encode() + b"\\n" + body)
def frame(index, shape=(2, 3, 3), age_s=0.0, dtype="uint8", cut=0):
    size = shape[0] * shape[1] * shape[2]
    times = {"mono_s": time.monotonic() - age_s, "utc_s": time.time()}
    say({"index": index, "shape": shape, "dtype": dtype, **times}, bytes([index]) * (size - cut))
while os.read(0, 1) != b"\\n":
    pass
exec(sys.argv[1])
while os.read(0, 1):
    pass
"""


def stand_in(behaviour: str) -> tuple[str, ...]:
    """A command for ``ChildSource``. behaviour: Python, run after the job was read; may use say, frame, os and time."""
    return (sys.executable, "-P", "-c", STAND_IN, behaviour)
