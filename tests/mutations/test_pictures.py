"""Whatever a file or a camera gives for a picture: it is judged, or named as what it is; nothing crashes or waits."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from edge.assemble import build_pipeline, open_classifier, open_detector
from edge.config import ClassifierConfig, Config, MqttConfig
from edge.errors import DataError
from edge.picture import PictureWatch
from edge.pipeline import Pipeline
from edge.places import PACKAGE
from edge.records import Frame
from edge.sources.base import as_bgr
from edge.sources.images import read_image
from tests.edge.bundles import DATA, make_bundle
from tests.edge.sources.clips import needs_ffmpeg
from tests.mutations import COUNTS, SEED
from tests.mutations.pictures import good_pictures, good_videos, odd_frame, spoilt

EACH_S: Final = 2.0  # on the average, on a busy machine; it takes a hundredth of it
START_S: Final = 60.0
READ_VIDEOS: Final = """
import sys
from edge.errors import DataError
from edge.sources import open_source
for path in sys.argv[1:]:
    frames, said = 0, ""
    try:
        with open_source(path) as source:
            while source.read(1.0) is not None:
                frames += 1
    except DataError as error:
        said = str(error)
    print(path, frames, said, sep="\\t", flush=True)
"""


def run(*argv: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    """A process of its own: what crashes there is a decoder, and no exception."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, *argv]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit_s, check=False)


@pytest.mark.parametrize("count", COUNTS)
def test_classify_names_every_spoilt_picture_and_ends_with_65(count: int, tmp_path: Path) -> None:
    draw, good = random.Random(SEED), good_pictures()
    paths = []
    for number in range(count):
        suffix, data = draw.choice(good)
        paths.append(tmp_path / f"{number:04}.{suffix}")
        paths[-1].write_bytes(spoilt(data, draw))
    bundle = str(make_bundle(tmp_path / "tiny"))
    done = run(
        "-m", "edge", "classify", "--json", "--model", bundle, *map(str, paths), limit_s=START_S + EACH_S * count
    )
    assert done.returncode == 65, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["image"] for answer in answers] == [str(path) for path in paths]
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert all(error.startswith("not an image: ") and error.isprintable() for error in errors)
    assert count / 5 < len(errors) < count, f"{len(errors)} of {count}: the spoiling is too weak, or too strong"
    for face in (face for answer in answers for face in answer.get("faces", ())):
        assert 0 <= face["p_mask"] <= 1
        assert face["label"] in ("mask", "no_mask")


@needs_ffmpeg
@pytest.mark.parametrize("count", COUNTS)
def test_a_spoilt_video_gives_the_frames_that_are_left_and_says_that_it_is_cut(count: int, tmp_path: Path) -> None:
    draw, good = random.Random(SEED + 1), good_videos(tmp_path)
    paths = []
    for number in range(count):
        made = draw.choice(good)
        paths.append(tmp_path / f"{number:04}{made.suffix}")
        paths[-1].write_bytes(spoilt(made.read_bytes(), draw))
    done = run("-c", READ_VIDEOS, *map(str, paths), limit_s=START_S + EACH_S * count)
    assert done.returncode == 0, f"after {done.stdout[-300:]}: {done.stderr[-3000:]}"
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(path) for path in paths]
    cut = [said for _, _, said in rows if said]
    assert all(said.isprintable() for said in cut)
    assert count / 10 < len(cut) < count
    assert sum(int(frames) for _, frames, _ in rows) > count


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    bundle = ClassifierConfig(bundle=str(make_bundle(tmp_path / "tiny")))
    config = Config(classifier=bundle, mqtt=MqttConfig(snapshot=True))
    return build_pipeline(config, open_detector(config), open_classifier(config))


@pytest.mark.parametrize("count", COUNTS)
def test_after_frames_of_any_shape_and_kind_the_next_person_is_decided_as_ever(count: int, pipeline: Pipeline) -> None:
    draw, watch = random.Random(SEED + 2), PictureWatch()
    refused = 0
    for number in range(count):
        what, array = odd_frame(draw)
        began_s = time.monotonic()
        try:
            frame = Frame(as_bgr(array), number, number / 10, 1e9)
        except DataError:
            refused += 1
            continue
        try:
            watch.look(frame)
            pipeline.process(frame)
        except Exception as error:
            raise AssertionError(f"number {number}: {what}") from error
        assert time.monotonic() - began_s < START_S, what
    pipeline.finish()
    portrait = read_image(DATA / "portrait_bare.jpg")
    told = [one for n in range(20) for one in pipeline.process(Frame(portrait, count + n, (count + n) / 10, 1e9))]
    assert count / 10 < refused < count * 0.9
    assert [one.verdict.kind for one in told] == ["decided"]
    assert all(math.isfinite(value) for one in told for value in one.box)
