"""A Raspberry Pi's camera, through a fake picamera2 that keeps the real one's rules."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from edge.camera import AWAY
from edge.errors import InputMissing, Unavailable, UsageError
from edge.sources import CameraSettings, SourceLost, SourceStalled, open_source, picamera
from edge.sources.base import SourceStuck
from tests.edge.sources.fakes import install_camera


def test_frames_are_bgr_with_the_sensors_times_and_every_request_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = install_camera(monkeypatch, 0, 1, 5)
    with open_source("picamera2:0", settings=CameraSettings(width=6, height=4, fps=25)) as source:
        frames = [f for f in (source.read(1) for _ in range(3)) if f]
        assert camera.held == 0
        assert source.live
    assert [f.t_s - frames[0].t_s for f in frames] == pytest.approx([0, 0.04, 0.2])
    assert [f.index for f in frames] == [0, 1, 5]
    assert source.dropped == 3
    assert camera.settings["main"] == {"size": (6, 4), "format": "RGB888"}
    assert camera.settings["controls"] == {"FrameRate": 25}
    assert camera.closed


def test_stall_is_cancelled_so_that_no_job_eats_a_later_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = install_camera(monkeypatch, 0, None, 9)
    with open_source("picamera2:0") as source:
        source.read(1)
        with pytest.raises(SourceStalled, match=r"picamera2:0: no frame within 0\.05 s"):
            source.read(0.05)
        assert camera.jobs == []
        assert source.read(1).index == 9  # type: ignore[union-attr]
        assert camera.held == 0


def test_request_that_comes_through_at_the_last_moment_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = install_camera(monkeypatch, None)
    camera.late = 4
    with open_source("picamera2:0") as source:
        with pytest.raises(SourceStalled):
            source.read(0.05)
        assert camera.held == 0


def test_camera_that_fails_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    install_camera(monkeypatch, RuntimeError("Camera frontend has timed out"))
    with open_source("picamera2:0") as source, pytest.raises(SourceLost, match="broke off: Camera frontend") as caught:
        source.read(1)
    assert not isinstance(caught.value, SourceStalled)
    with pytest.raises(SourceLost, match="is closed"):
        source.read(1)


def test_picture_is_turned_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[0, 0] = 255
    install_camera(monkeypatch, 0, image=image)
    with open_source("picamera2:0", settings=CameraSettings(rotation=90)) as source:
        turned = source.read(1).image_bgr  # type: ignore[union-attr]
    assert turned.shape == (6, 4, 3)
    assert turned[0, 3, 0] == 255


def test_camera_number_that_is_not_there_is_missing_input(monkeypatch: pytest.MonkeyPatch) -> None:
    install_camera(monkeypatch, count=1)
    with pytest.raises(InputMissing, match="picamera2:1 is not there: 1 cameras were found"):
        open_source("picamera2:1")
    with pytest.raises(UsageError, match="such as picamera2:0"):
        open_source("picamera2:front")


def test_missing_library_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(Unavailable, match="apt install python3-picamera2"):
        open_source("picamera2:0")


def test_camera_in_use_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = install_camera(monkeypatch)

    def busy() -> None:
        raise RuntimeError("Device or resource busy")

    monkeypatch.setattr(camera, "start", busy)
    with pytest.raises(Unavailable, match="Device or resource busy"):
        open_source("picamera2:0")
    assert camera.closed


def test_close_that_hangs_ends_in_time_and_no_second_camera_is_opened_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picamera, "CLOSE_S", 0.05)
    camera = install_camera(monkeypatch, 0)
    source = open_source("picamera2:0")
    camera.hang.clear()
    started_s = time.monotonic()
    source.close()
    assert time.monotonic() - started_s < 1
    with pytest.raises(SourceStuck, match="an earlier call to the camera hung: start the program again"):
        open_source("picamera2:0")
    camera.hang.set()
    for thread in picamera._hanging:
        thread.join(1)
    with pytest.raises(SourceStuck):  # what came back late may hold the camera
        open_source("picamera2:0")


def test_a_camera_call_that_hung_ends_the_run_and_is_not_waited_for() -> None:
    """Only a process of its own can open that camera again, and systemd starts one."""
    assert not issubclass(SourceStuck, AWAY)
    assert SourceStuck("").exit_code == 69


def test_opening_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = install_camera(monkeypatch)
    camera.hang.clear()
    with pytest.raises(Unavailable, match=r"did not open within 0\.05 s"):
        open_source("picamera2:0", settings=CameraSettings(open_timeout_s=0.05))
    camera.hang.set()
    for thread in picamera._hanging:
        thread.join(1)
