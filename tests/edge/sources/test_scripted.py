"""The source that misbehaves on purpose, and files in real time: both live by a clock that tests own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError, DataError, EdgeError, InputMissing
from edge.records import Frame
from edge.sources import CameraSettings, SourceLost, SourceStalled, open_source
from edge.sources.base import as_bgr
from edge.sources.images import ImageFiles
from edge.sources.paced import Paced
from edge.sources.scripted import Script, ScriptedSource, Step, generated
from tests.edge.sources.clips import read_all
from tests.edge.sources.fakes import FakeTime


def play(*steps: Step, fps: float = 10, live: bool = False, time: FakeTime | None = None) -> ScriptedSource:
    return ScriptedSource(Script(steps, (64, 48), fps), "script", live, timer=(time or FakeTime()).timer())


def write(folder: Path, text: str) -> str:
    path = folder / "faults.toml"
    path.write_text(text)
    return f"scripted:{path}"


def pictures(folder: Path, count: int, fps: float = 10) -> ImageFiles:
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((4, 4, 3), number, np.uint8))
    return ImageFiles(sorted(folder.glob("*.png")), "folder", fps)


def test_good_frames_differ_and_keep_their_rate() -> None:
    frames = read_all(play(Step("frames", count=5)))
    assert [f.t_s for f in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert len({f.image_bgr.tobytes() for f in frames}) == 5
    assert frames[0].image_bgr.shape == (48, 64, 3)


def test_each_fault_spoils_the_picture_in_its_way() -> None:
    steps = [Step("frames"), Step("repeats"), Step("black"), Step("size", width=10, height=20), Step("swapped")]
    good, same, black, small, swapped = (f.image_bgr for f in read_all(play(*steps)))
    assert np.array_equal(good, same)
    assert black.max() == 0
    assert small.shape == (20, 10, 3)
    assert np.array_equal(swapped[:, :, ::-1], generated(4, 64, 48))


def test_picture_of_0x0_is_dropped_and_counted() -> None:
    source = play(Step("frames"), Step("empty", count=3), Step("frames"))
    assert [f.index for f in read_all(source)] == [0, 4]
    assert source.dropped == 3


def test_stall_raises_in_time_until_it_is_over() -> None:
    source = play(Step("frames"), Step("stall", seconds=2.5), Step("frames"))
    source.read(1)
    for _ in range(2):
        with pytest.raises(SourceStalled, match="no frame within 1 s"):
            source.read(1)
    assert source.read(1).t_s == pytest.approx(2.6)  # type: ignore[union-attr]
    assert source.read(1) is None
    assert source.read(1) is None


def test_burst_and_slow_frames_have_the_times_of_such_cameras() -> None:
    frames = read_all(play(Step("burst", count=3), Step("slow", count=2, fps=2), Step("frames")))
    assert [round(f.t_s, 3) for f in frames] == [0, 0.001, 0.002, 0.003, 0.503, 1.003]


def test_script_breaks_off_stays_away_and_goes_on_where_it_broke(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        """
        size = [32, 24]
        [[step]]
        do = "frames"
        count = 2
        [[step]]
        do = "exception"
        message = "cable"
        [[step]]
        do = "absent"
        count = 2
        [[step]]
        do = "black"
        """,
    )
    seen: list[str] = []
    for _ in range(4):
        try:
            seen += [f"frame {f.image_bgr.max() > 0}" for f in read_some(spec, seen)]
        except EdgeError as error:
            seen.append(type(error).__name__)
    assert seen == ["frame True", "frame True", "SourceLost", "InputMissing", "InputMissing", "frame False"]


def read_some(spec: str, seen: list[str]) -> list[Frame]:
    with open_source(spec) as source:
        frames = []
        try:
            while (frame := source.read(1)) is not None:
                frames.append(frame)
        except SourceLost:
            seen += [f"frame {f.image_bgr.max() > 0}" for f in frames]
            raise
        return frames


def test_live_script_drops_what_a_slow_reader_missed() -> None:
    time = FakeTime()
    source = play(Step("frames", count=20), live=True, time=time)
    indices = []
    while (frame := source.read(1)) is not None:
        indices.append(frame.index)
        time.now_s += 0.37
    assert indices == [0, 3, 7, 11, 14, 18, 19]
    assert source.dropped == 13


def test_script_over_the_frames_of_a_file_ends_with_them(tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    spec = write(tmp_path, 'frames = "*.png"\n[[step]]\ndo = "black"\n[[step]]\ndo = "frames"\ncount = 50\n')
    assert [f.image_bgr.max() for f in read_all(open_source(spec))] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one"),
        ("[[step]]\ndo = 'stal'", "step 1: do = 'stal' is not known; there are frames, repeats"),
        ("[[step]]\ndo = 'stall'\ncount = 3", r"step 1 \(stall\) has no 'count'; there are do, seconds"),
        ("[[step]]\ndo = 'frames'\ncount = 'many'", "step 1: count must be 1 to 100000, is 'many'"),
        ("[[step]]\ndo = 'slow'\nfps = 0", "step 1: fps must be 0.01 to 240, is 0"),
        ("size = 5\n[[step]]\ndo = 'frames'", "size is"),
        ("sizes = 5", "the script has no 'sizes'"),
        ("[[step", "is not a script"),
    ],
)
def test_mistake_in_a_script_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_source(write(tmp_path, text))


def test_script_that_is_not_there_is_missing_input() -> None:
    with pytest.raises(InputMissing, match="no such script"):
        open_source("scripted:/none.toml")


def test_file_in_real_time_comes_when_it_is_due(tmp_path: Path) -> None:
    time = FakeTime()
    source = Paced(pictures(tmp_path, 5), time.timer())
    assert [f.index for f in read_all(source)] == [0, 1, 2, 3, 4]
    assert time.waited_s == pytest.approx(0.4)
    assert source.dropped == 0


def test_file_in_real_time_drops_what_a_slow_reader_missed(tmp_path: Path) -> None:
    time = FakeTime()
    source = Paced(pictures(tmp_path, 10), time.timer())
    indices = []
    while (frame := source.read(1)) is not None:
        indices.append(frame.index)
        time.now_s += 0.25
    assert indices == [0, 2, 5, 7, 9]
    assert source.dropped == 5


def test_gap_in_a_file_in_real_time_is_a_stall_and_loses_no_frame(tmp_path: Path) -> None:
    source = Paced(pictures(tmp_path, 2, fps=0.5), FakeTime().timer())
    assert source.read(1.5).t_s == 0.0  # type: ignore[union-attr]
    with pytest.raises(SourceStalled):
        source.read(1.5)
    assert source.read(1.5).t_s == 2.0  # type: ignore[union-attr]


def test_broken_file_in_real_time_gives_its_good_frames_before_the_error(tmp_path: Path) -> None:
    source = Paced(pictures(tmp_path, 3), FakeTime().timer())
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert [source.read(1).index, source.read(1).index] == [0, 2]  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(DataError, match="1 of 3 images"):
            source.read(1)


def test_array_that_is_no_picture_is_refused() -> None:
    for shape in ((0, 0, 3), (4, 4, 2), (4,), (4, 4, 3, 1)):
        with pytest.raises(DataError, match="a picture"):
            as_bgr(np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="float32"):
        as_bgr(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("wrong", [{"rotation": 45}, {"width": 0}, {"fps": 0.0}, {"open_timeout_s": 0.0}])
def test_camera_setting_out_of_range_is_a_configuration_error(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"camera.{next(iter(wrong))}"):
        CameraSettings(**wrong)


@pytest.mark.parametrize("text", ["fps = " + "9" * 5000, "size = " + "[" * 20_000, "\0"])
def test_a_script_that_python_cannot_read_is_named_as_such(text: str, tmp_path: Path) -> None:
    (tmp_path / "script.toml").write_text(text)
    with pytest.raises(DataError, match="is not a script"):
        open_source(f"scripted:{tmp_path}/script.toml")


def test_a_script_without_an_end_is_refused() -> None:
    with pytest.raises(DataError, match="no regular file"):
        open_source("scripted:/dev/zero")
