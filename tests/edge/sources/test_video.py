"""Video files: true times, upright, every frame, and a word when the file was cut."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataError, InputMissing, UsageError
from edge.sources import open_source
from edge.sources.video import VideoFile
from tests.edge.sources.clips import cut, ffmpeg, make_clip, needs_ffmpeg, read_all, read_until_error, zero_end

pytestmark = needs_ffmpeg

TWO_RATES = ("-vf", "select='lt(t,1)+not(mod(n,5))'", "-vsync", "vfr")  # 25 a second, from 1 s on 5 a second
HEALTHY = {
    "plain.mp4": (),
    "front.mp4": ("-movflags", "+faststart"),
    "fragments.mp4": ("-movflags", "frag_keyframe+empty_moov"),
    "offset.mp4": ("-output_ts_offset", "7.3"),
    "rates.mp4": TWO_RATES,
    "rates.mkv": TWO_RATES,
    "offset.mkv": ("-output_ts_offset", "7.3", "-bf", "2"),
    "plain.avi": ("-c:v", "mpeg4"),
    "plain.webm": ("-c:v", "libvpx", "-deadline", "realtime"),
    "plain.ts": (),
    "raw.h264": (),
    "raw.mjpeg": (),
    "film.mpg": ("-c:v", "mpeg2video"),
    "anim.gif": ("-vf", "fps=10"),
    "grey16.mkv": ("-c:v", "ffv1", "-pix_fmt", "gray16le"),
    "alpha.mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
}
CUT = ("front.mp4", "fragments.mp4", "rates.mkv", "plain.avi", "plain.webm", "anim.gif")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    outputs: list[str | Path] = []
    for name, options in HEALTHY.items():
        outputs += [*options, folder / name]
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2", *outputs)
    return folder


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_file_is_read_to_its_end_with_times_that_grow(healthy: Path, name: str) -> None:
    frames = read_all(VideoFile(healthy / name))
    assert len(frames) == {"rates": 30, "anim": 20}.get(name.partition(".")[0], 50)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert frames[0].t_s == 0
    assert all(a.t_s < b.t_s for a, b in pairwise(frames))
    assert {(f.image_bgr.shape, str(f.image_bgr.dtype)) for f in frames} == {((120, 160, 3), "uint8")}
    assert frames[-1].t_s == pytest.approx({"rates": 1.8, "anim": 1.9}.get(name.partition(".")[0], 1.96), abs=0.005)


@pytest.mark.parametrize("name", ["rates.mp4", "rates.mkv"])
def test_variable_frame_rate_gives_true_times(healthy: Path, name: str) -> None:
    times_s = [f.t_s for f in read_all(VideoFile(healthy / name))]
    assert times_s == pytest.approx([*np.arange(25) / 25, 1.0, 1.2, 1.4, 1.6, 1.8], abs=0.002)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_video_comes_out_upright_and_only_once(tmp_path: Path, degrees: int) -> None:
    lying = make_clip(tmp_path / "lying.mp4", seconds=0.2)
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", lying, "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", turned)
    players = tmp_path / "players.png"  # what a player shows: ffmpeg turns by the display matrix
    ffmpeg("-i", turned, "-frames:v", "1", players)
    first = read_all(VideoFile(turned))[0].image_bgr
    shown = cv2.imread(str(players))
    assert shown is not None
    assert first.shape == shown.shape == ((120, 160, 3) if degrees == 180 else (160, 120, 3))
    assert np.abs(first.astype(int) - shown).mean() < 3  # two ways from YUV to RGB


@pytest.mark.parametrize("damage", [cut, zero_end])
@pytest.mark.parametrize("name", CUT)
def test_video_that_ends_in_the_middle_gives_its_good_frames_and_then_an_error(
    healthy: Path, name: str, damage: Callable[[Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    if (name, damage) == ("fragments.mp4", zero_end):
        pytest.skip("a fragmented MP4 does not say how many fragments it has")
    frames, error = read_until_error(VideoFile(damage(healthy / name)))
    assert 5 < len(frames) < 40
    assert isinstance(error, DataError)
    assert f"{name} ends early: {len(frames)} " in str(error)
    assert "what was read was used" in str(error)
    assert capfd.readouterr().err == ""


def test_count_of_frames_that_are_missing_is_told_where_the_file_knows_it(healthy: Path) -> None:
    frames, error = read_until_error(VideoFile(cut(healthy / "front.mp4")))
    assert f"{len(frames)} of 50 frames" in str(error)


def test_mp4_cut_before_its_index_cannot_be_opened(healthy: Path) -> None:
    with pytest.raises(DataError, match=r"not a video that can be read: .* bytes are there, at least .* are due"):
        VideoFile(cut(healthy / "plain.mp4"))


def test_video_that_starts_in_the_middle_of_another_is_whole(healthy: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.mp4"
    ffmpeg("-ss", "1", "-i", healthy / "plain.mp4", "-c", "copy", part)  # an edit list hides the first frames
    assert len(read_all(VideoFile(part))) == 25


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_sound_that_outlasts_the_picture_is_no_cut(healthy: Path, tmp_path: Path, kind: str) -> None:
    long = tmp_path / f"long.{kind}"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=5", "-i", healthy / "plain.mp4", "-c:v", "copy", "-c:a", "aac", long)
    assert len(read_all(VideoFile(long))) == 50


@pytest.mark.parametrize(("size", "seconds"), [("101x57", 0.2), ("16x16", 0.04)])
def test_odd_sizes_and_a_single_frame_are_read(tmp_path: Path, size: str, seconds: float) -> None:
    clip = make_clip(tmp_path / "odd.mp4", "-pix_fmt", "yuv444p", size=size, seconds=seconds)
    width, height = map(int, size.split("x"))
    assert read_all(VideoFile(clip))[-1].image_bgr.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.mp4", b"This is not a video.\n" * 20, "it holds text"),
        ("list.m3u8", b"#EXTM3U\nhttp://example.org/a.ts\n", "it holds text"),
        ("notes.txt", b"FFmpeg would play this as scrolling letters\n", "it holds text"),
        ("empty.mp4", b"", "the file is empty"),
        ("noise.mp4", bytes(range(255, 0, -1)) * 9, "its format is not known"),
    ],
)
def test_file_that_is_no_video_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is not a video that can be read: {words}"):
        open_source(str(path))
    assert capfd.readouterr().err == ""


def test_sound_without_a_picture_is_an_error(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.m4a")
    with pytest.raises(DataError, match="without a video track"):
        open_source(str(tmp_path / "sound.m4a"))


def test_video_that_is_not_there_and_a_device_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"none\.mp4: no such file"):
        open_source(str(tmp_path / "none.mp4"))
    with pytest.raises(UsageError, match="v4l2:/dev/null"):
        open_source("/dev/null")


def test_two_runs_give_the_same_frames(healthy: Path) -> None:
    first, second = (read_all(open_source(str(healthy / "rates.mp4"))) for _ in range(2))
    assert [(f.index, f.t_s, f.image_bgr.tobytes()) for f in first] == [
        (f.index, f.t_s, f.image_bgr.tobytes()) for f in second
    ]
