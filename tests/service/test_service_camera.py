"""A network camera that breaks, under the unit: the daemon never ends for it, says so, and opens it again by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.service.camera import MISSING, URL, Camera, camera
from tests.service.conftest import Row
from tests.service.machine import Books, Listener, Machine
from tests.service.reckon import FROZEN_REOPENED_S, REOPENED_S, START_S, TOLD_S, more, reckon
from tests.service.rootfs import missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]


@pytest.fixture(scope="module")
def eye(machine: Machine, listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    """The camera that the unit watches."""
    with camera(machine, tmp_path_factory.mktemp("clip")) as one:
        if one is None:
            pytest.skip(MISSING)
        machine.watch(URL)
        machine.seconds_until(lambda: machine.status().get("camera") == "ok", "frames", START_S)
        yield one


def test_a_camera_that_gives_no_more_frames(
    machine: Machine, eye: Camera, listener: Listener, rows: list[Row], before: Books
) -> None:
    """It answers nobody: the connection stands, but nothing comes."""
    pid = machine.pid()
    eye.stop()
    machine.seconds_until(lambda: "camera_lost" in machine.reasons(), "camera_lost is told", TOLD_S)
    time.sleep(15)  # and is tried again, in vain
    eye.go_on()
    back_s = machine.seconds_until(lambda: machine.status().get("camera") == "ok", "frames", REOPENED_S)
    more(machine, listener, than=before.held)
    reckon(rows, "camera gives no more frames", before, listener, back_s=back_s)
    assert machine.pid() == pid
    assert any("camera_lost" in health for health in listener.payloads("/health"))


def test_a_driver_that_hangs(machine: Machine, eye: Camera, listener: Listener, rows: list[Row], before: Books) -> None:
    """The child that reads the camera is stopped: it is killed, and the camera opened by another."""
    pid = machine.pid()
    child = machine.run("pgrep", "-P", str(pid), "-f", "capture_child")
    machine.run("kill", "-STOP", child)
    machine.seconds_until(lambda: "camera_lost" in machine.reasons(), "camera_lost is told", TOLD_S)
    back_s = machine.seconds_until(lambda: machine.status().get("camera") == "ok", "frames", REOPENED_S)
    more(machine, listener, than=before.held)
    reckon(rows, "camera's driver hangs (its child stopped)", before, listener, back_s=back_s)
    assert machine.pid() == pid
    assert machine.run("ps", "-p", child, "-o", "pid=", check=False) == ""


def test_a_camera_that_gives_the_same_picture_for_ever(
    machine: Machine, eye: Camera, listener: Listener, rows: list[Row], before: Books
) -> None:
    pid = machine.pid()
    eye.freeze()
    machine.seconds_until(lambda: "camera_frozen" in machine.reasons(), "camera_frozen is told", TOLD_S)
    again = "the same picture for 60 s and more: it is opened again"
    machine.seconds_until(lambda: again in machine.journal(), "it is opened again", FROZEN_REOPENED_S)
    eye.thaw()
    back_s = machine.seconds_until(lambda: machine.status().get("camera") == "ok", "it moves", REOPENED_S)
    more(machine, listener, than=before.held)
    reckon(rows, "camera gives the same picture", before, listener, back_s=back_s)
    assert machine.pid() == pid
    assert any("camera_frozen" in health for health in listener.payloads("/health"))
