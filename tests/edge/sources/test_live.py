"""Cameras and streams in a child process: the newest frame, limits in time, nothing left behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import InputMissing, Refused, Unavailable, UsageError
from edge.passwords import masked
from edge.sources import CameraSettings, SourceLost, SourceStalled, open_source
from edge.sources.live import ChildSource
from edge.sources.rtsp import with_password
from tests.edge.sources.clips import make_clip, needs_ffmpeg
from tests.edge.sources.fakes import stand_in

QUICK = CameraSettings(open_timeout_s=2)
OPENED = "say({'opened': True}); "


def child_pid(source: ChildSource) -> int:
    return source._child._process.pid


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def open_stand_in(behaviour: str, rotation: int = 0) -> ChildSource:
    return ChildSource("cam", {}, CameraSettings(rotation=rotation), stand_in(behaviour))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("live") / "clip.mp4", seconds=1)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@needs_ffmpeg
def test_real_child_hands_over_frames_and_ends_with_its_stream(clip: Path) -> None:
    source = ChildSource("cam", {"open": str(clip), "backend": "FFMPEG", "parameters": []}, QUICK)
    pid = child_pid(source)
    first = source.read(5)
    assert first is not None
    assert first.image_bgr.shape == (120, 160, 3)
    assert abs(first.utc_s - time.time()) < 5
    with pytest.raises(SourceLost, match="cam broke off: it gives no more frames"):
        list(iter(lambda: source.read(5), None))
    assert source.dropped > 0  # the child reads on while nobody asks, and keeps the newest only
    source.close()
    source.close()
    assert not is_alive(pid)


def test_frames_that_nobody_took_are_counted() -> None:
    with open_stand_in(OPENED + "[os.read(0, 1) and frame(i) for i in (0, 4, 9)]") as source:
        frames = [source.read(2) for _ in range(3)]
        assert [f and (f.index, f.image_bgr[0, 0, 0]) for f in frames] == [(0, 0), (4, 4), (9, 9)]
        assert source.dropped == 7
        times_s = [f.t_s for f in frames if f]
        assert times_s == sorted(times_s)


def test_silent_camera_is_a_stall_in_time_and_may_come_back() -> None:
    behaviour = OPENED + "os.read(0, 1); time.sleep(0.4); frame(3); os.read(0, 1); frame(5)"
    with open_stand_in(behaviour) as source:
        started_s = time.monotonic()
        with pytest.raises(SourceStalled, match=r"cam: no frame within 0\.1 s"):
            source.read(0.1)
        assert time.monotonic() - started_s < 0.35
        assert [source.read(2).index, source.read(2).index] == [3, 5]  # type: ignore[union-attr]


def test_frame_that_lay_about_for_long_is_not_handed_out() -> None:
    behaviour = OPENED + "os.read(0, 1); frame(1, age_s=7); os.read(0, 1); frame(2)"
    with open_stand_in(behaviour) as source:
        assert source.read(2).index == 2  # type: ignore[union-attr]
        assert source.dropped == 2


@pytest.mark.parametrize("bad", ["frame(1, shape=(0, 0, 3))", "frame(1, shape=(2, 3, 2))", "frame(1, shape=(0, 5, 3))"])
def test_picture_that_is_none_is_dropped_and_the_next_one_awaited(bad: str) -> None:
    with open_stand_in(OPENED + f"os.read(0, 1); {bad}; os.read(0, 1); frame(2)") as source:
        assert source.read(2).index == 2  # type: ignore[union-attr]


def test_rotation_of_the_camera_is_applied() -> None:
    with open_stand_in(OPENED + "os.read(0, 1); frame(1)", rotation=90) as source:
        assert source.read(2).image_bgr.shape == (3, 2, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("os.read(0, 1); os._exit(3)", "its process has died"),
        ("os.read(0, 1); frame(1, cut=5); os._exit(3)", "its process has died"),
        ("os.read(0, 1); say({'lost': True})", "it gives no more frames"),
        ("os.read(0, 1); os.write(1, b'x' * 9000)", "its process has died"),
        ("os.read(0, 1); frame(1, shape=(99999, 99999, 3)) if 0 else say({'index': 0, 'shape': [99999, 99999, 3], "
         "'dtype': 'uint8'})", "too large"),
    ],
)  # fmt: skip
def test_camera_that_breaks_off_is_lost_not_stalled(behaviour: str, words: str) -> None:
    with open_stand_in(OPENED + behaviour) as source:
        with pytest.raises(SourceLost, match=words) as caught:
            source.read(2)
        assert not isinstance(caught.value, SourceStalled)


def test_child_that_stops_in_the_middle_of_a_frame_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.live.BODY_S", 0.2)
    with (
        open_stand_in(OPENED + "os.read(0, 1); frame(1, cut=5)") as source,
        pytest.raises(SourceLost, match="middle of a frame"),
    ):
        source.read(2)


def test_child_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.live.EXIT_S", 0.2)
    source = open_stand_in(OPENED + "time.sleep(60)")
    pid, started_s = child_pid(source), time.monotonic()
    source.close()
    assert time.monotonic() - started_s < 2
    assert not is_alive(pid)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("say({'failed': 'refused'})", Refused),
        ("say({'failed': 'missing'})", InputMissing),
        ("say({'failed': 'unavailable'})", Unavailable),
        ("os._exit(1)", Unavailable),
        ("time.sleep(60)", Unavailable),
    ],
)
def test_camera_that_does_not_open_tells_why(
    answer: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sources.live.CHILD_START_S", 0.0)
    monkeypatch.setattr("edge.sources.live.EXIT_S", 0.1)
    with pytest.raises(error, match=r"^cam ") as caught:
        ChildSource("cam", {}, CameraSettings(open_timeout_s=0.7), stand_in(answer))
    assert type(caught.value) is error


def test_dead_port_is_missing_input_at_once() -> None:
    started_s = time.monotonic()
    with pytest.raises(InputMissing, match=r"rtsp://door@127\.0\.0\.1:9/cam is not there") as caught:
        open_source("rtsp://door@127.0.0.1:9/cam", password="s3cret", settings=QUICK)
    assert "s3cret" not in str(caught.value)
    assert time.monotonic() - started_s < 5


def test_port_that_never_answers_is_given_up_in_time(deaf_port: int) -> None:
    started_s = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer as a camera"):
        open_source(f"rtsp://127.0.0.1:{deaf_port}/cam", settings=CameraSettings(open_timeout_s=0.5))
    assert time.monotonic() - started_s < 5


def test_password_stands_neither_in_arguments_nor_environment_nor_name() -> None:
    address = with_password("rtsp://door@h/cam", "s3cret")
    with ChildSource(masked("rtsp://door@h/cam"), {"open": address}, QUICK, stand_in(OPENED)) as source:
        process = Path(f"/proc/{child_pid(source)}")
        seen = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
        assert b"s3cret" not in seen
        assert source.name == "rtsp://door@h/cam"


def test_password_is_put_into_the_address_escaped() -> None:
    assert with_password("rtsp://door@h:554/a?b=1", "p@ss/w:rd") == "rtsp://door:p%40ss%2Fw%3Ard@h:554/a?b=1"
    assert with_password("rtsp://door@[::1]/a", "x") == "rtsp://door:x@[::1]/a"
    assert with_password("rtsp://h/a", None) == "rtsp://h/a"


def test_a_scheme_in_capitals_is_a_camera_s_too() -> None:
    assert with_password("RTSP://H/A?B", None) == "rtsp://H/A?B"
    with pytest.raises(InputMissing, match=r"RTSP://127\.0\.0\.1:9/cam is not there"):
        open_source("RTSP://127.0.0.1:9/cam", settings=QUICK)


@pytest.mark.parametrize(
    ("spec", "password", "words"),
    [
        ("rtsp://door:s3cret@h/cam", None, "leave the password out"),
        ("rtsp://h/cam", "s3cret", "a password but no user"),
        ("rtsp://", None, "not an address"),
        ("rtsp://h:99999999/cam", None, "not an address"),
    ],
)
def test_address_that_cannot_be_used_is_refused_without_showing_a_password(
    spec: str, password: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_source(spec, password=password)
    assert "s3cret" not in str(caught.value)


def test_video_device_that_is_not_there_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="v4l2:/dev/video99 is not there"):
        open_source("v4l2:/dev/video99")
    (tmp_path / "video0").write_text("a file")
    with pytest.raises(InputMissing, match="is not a camera device"):
        open_source(f"v4l2:{tmp_path}/video0")
    with pytest.raises(UsageError, match="v4l2:/dev/video0"):
        open_source("v4l2:0")


def test_device_that_is_no_camera_cannot_be_opened() -> None:
    with pytest.raises(Unavailable, match="v4l2:/dev/null cannot be opened"):
        open_source("v4l2:/dev/null", settings=QUICK)
