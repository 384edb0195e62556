"""``make test-soak``: a door's life in three minutes, always the same one."""

from __future__ import annotations

import shutil
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest

from edge.third_party import is_present
from tests.mosquitto import find_mosquitto
from tests.soak.run import soak
from tests.soak.trend import slope

SEED: Final = 20261125
FRAMES, EVERY = 24_000, 1_250  # twice through every kind of fault
LIMIT_KIB: Final = 60.0  # for 1,000 frames; a leak of 60 bytes a frame
NEEDED: Final = {"mosquitto": find_mosquitto(), "ffmpeg": shutil.which("ffmpeg"), "yunet's file": is_present("yunet")}
MISSING: Final = [name for name, is_there in NEEDED.items() if not is_there]
needs_all = pytest.mark.skipif(bool(MISSING), reason=f"not here: {', '.join(MISSING)}")


@pytest.fixture
def memory() -> np.random.Generator:
    return np.random.default_rng(SEED)


def steps(draw: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Memory as a process holds it: some pages more or less, each for a while; no trend."""
    return 120_000 + np.repeat(draw.normal(0, 150, count // 20), 20)


def test_memory_that_goes_up_and_down_has_no_slope(memory: np.random.Generator) -> None:
    found = [slope(np.linspace(50_000, 100_000, 1000), steps(memory, 1000)) for _ in range(20)]
    assert sum(one.low <= 0 <= one.high for one in found) >= 15  # 19 are due; the draws are few
    assert max(one.high for one in found) < 10


def test_a_leak_is_found_between_its_limits(memory: np.random.Generator) -> None:
    frames = np.linspace(50_000, 100_000, 1000)
    found = slope(frames, steps(memory, 1000) + 0.02 * frames)
    assert 10 < found.low < found.per_1000 < found.high < 30


def test_one_peak_is_no_slope(memory: np.random.Generator) -> None:
    values = steps(memory, 1000)
    values[900:930] += 50_000
    assert slope(np.linspace(50_000, 100_000, 1000), values).high < 10


def test_too_few_samples_are_no_proof_of_anything() -> None:
    with pytest.raises(ValueError, match="run for longer"):
        slope([1, 2, 3], [1, 1, 1])


@pytest.mark.soak
@needs_all
def test_a_door_stays_as_it_was_whatever_happens_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = soak(FRAMES, EVERY, SEED)
        print(f"seed {SEED}\n{report}")
    assert report.problems(LIMIT_KIB) == []


@pytest.mark.soak
@needs_all
def test_a_daemon_that_keeps_two_hundred_bytes_of_every_frame_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = soak(6_000, EVERY, SEED, program=("-m", "tests.soak.leaky"), has_faults=False)
        print(f"with a leak:\n{report}")
    [problem] = report.problems(LIMIT_KIB)
    assert problem.startswith("resident memory: ")
    assert report.rss().low > LIMIT_KIB
