"""``picamera2:0``: a camera on a Raspberry Pi's ribbon cable, through the picamera2 library.

picamera2 keeps the newest frame itself (a queue of one). Its calls can wait for ever when the camera's front end times
out, so each has a limit here. A capture that timed out stays in its job list and would eat a later frame: it is
cancelled, and the request that may still have come through is released, for held buffers starve the sensor.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Final

import numpy.typing as npt

from edge.errors import DataError, InputMissing, Unavailable, UsageError
from edge.records import Frame
from edge.sources.base import CameraSettings, Closing, SourceLost, SourceStalled, SourceStuck, as_bgr, turn

CLOSE_S: Final = 3.0
CAMERA_FAULTS: Final = (RuntimeError, OSError, IndexError, ValueError, AttributeError, CancelledError)

_hanging: list[threading.Thread] = []  # calls that did not come back in time; after one no camera is opened any more


def within(limit_s: float, call: Callable[[], Any]) -> Any:
    """The result of ``call``, done in a thread. Raises TimeoutError, leaving the thread behind, after ``limit_s``."""
    outcome: list[Any] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except CAMERA_FAULTS as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True, name="picamera2")
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        _hanging.append(thread)
        raise TimeoutError
    if faults:
        raise faults[0]
    return outcome[0] if outcome else None


class Picamera2Source(Closing):
    """The newest frame of one camera. ``t_s`` goes by the sensor's own clock."""

    live = True

    def __init__(self, spec: str, settings: CameraSettings) -> None:
        self.name = spec
        self.dropped = 0
        self._rotation = settings.rotation
        self._index = -1
        self._last_s = 0.0
        self._opened_s = time.monotonic()
        self._sensor_start_s: float | None = None
        self._camera = _open(spec, settings)

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame; a picture that is none is counted as dropped and the next one awaited."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            pixels, metadata = self._capture(left_s, timeout_s)
            t_s = self._note_time(metadata)
            try:
                image = turn(as_bgr(pixels), self._rotation)
            except DataError:
                self.dropped += 1
                continue
            return Frame(image, self._index, t_s, time.time())

    def close(self) -> None:
        """Stop and let go; a stop that hangs is left behind, and ends this process at the next opening."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            within(CLOSE_S, camera.close)
        except (TimeoutError, *CAMERA_FAULTS):
            return  # there is nothing left that could be done about this camera

    def _capture(self, left_s: float, timeout_s: float) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Pixels (height, width, 3) in BGR order and what the sensor says of them; the request is released at once."""
        if self._camera is None:
            raise SourceLost(f"{self.name} is closed")
        try:
            request = self._await(self._camera.capture_request(wait=False), left_s)
            if request is None:
                raise SourceStalled(f"{self.name}: no frame within {timeout_s:g} s", "check the ribbon cable")
            try:
                return request.make_array("main"), request.get_metadata()
            finally:
                request.release()
        except CAMERA_FAULTS as fault:
            raise SourceLost(f"{self.name} broke off: {fault}") from fault

    def _await(self, job: Any, left_s: float) -> Any:
        """The request that the job fetched; None when it was not there in time, and then nothing is left pending."""
        try:
            return job.get_result(timeout=left_s)
        except TimeoutError:
            self._camera.cancel_all_and_flush()
        with contextlib.suppress(TimeoutError, CancelledError):
            job.get_result(timeout=0).release()  # it came between the time-out and the cancelling
        return None

    def _note_time(self, metadata: dict[str, Any]) -> float:
        """Seconds since opening, by the sensor's clock; counts the frames that were missed."""
        now_s = time.monotonic() - self._opened_s
        sensor_s = float(metadata.get("SensorTimestamp", 0)) / 1e9
        if self._sensor_start_s is None:
            self._sensor_start_s = sensor_s - now_s
        t_s = sensor_s - self._sensor_start_s if sensor_s else now_s
        frame_s = float(metadata.get("FrameDuration", 0)) / 1e6
        missed = max(0, round((t_s - self._last_s) / frame_s) - 1) if frame_s and self._index >= 0 else 0
        self.dropped += missed
        self._index += missed + 1
        self._last_s = max(t_s, self._last_s)
        return self._last_s


def _open(spec: str, settings: CameraSettings) -> Any:
    number = re.fullmatch(r"picamera2:(\d{1,2})", spec)
    if not number:
        raise UsageError(f"{spec} names no camera", "give the camera's number, such as picamera2:0")
    if _hanging:  # though it may have come back since: then it holds a camera that nobody will let go of
        raise SourceStuck(f"{spec}: an earlier call to the camera hung", "start the program again")
    try:
        library = importlib.import_module("picamera2").Picamera2
    except ImportError as error:
        raise Unavailable(
            f"{spec} needs picamera2", f"apt install python3-picamera2, in a venv with system site packages ({error})"
        ) from error
    try:
        return within(settings.open_timeout_s, lambda: _start(library, int(number[1]), spec, settings))
    except TimeoutError as error:
        raise Unavailable(
            f"{spec} did not open within {settings.open_timeout_s:g} s", "check the ribbon cable"
        ) from error
    except InputMissing:
        raise
    except CAMERA_FAULTS as fault:
        raise Unavailable(f"{spec} cannot be opened: {fault}", "see whether another program holds it") from fault


def _start(library: Any, number: int, spec: str, settings: CameraSettings) -> Any:
    count = len(library.global_camera_info())
    if number >= count:
        raise InputMissing(
            f"{spec} is not there: {count} cameras were found", "check the ribbon cable and its direction"
        )
    camera = library(number)
    try:
        # libcamera's RGB888 has blue first in memory, as OpenCV wants it.
        main = {"size": (settings.width, settings.height), "format": "RGB888"}
        controls = {"FrameRate": settings.fps}
        camera.configure(camera.create_video_configuration(main=main, controls=controls, queue=True))
        camera.start()
    except CAMERA_FAULTS:
        camera.close()
        raise
    return camera
