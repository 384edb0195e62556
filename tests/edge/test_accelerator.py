"""Where the classifier runs, and that nothing which an Edge TPU's driver does in native code takes the daemon along.

No Coral is here. The driver is a real shared library, loaded by the real runtime; its faults are real ones.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import accelerator, edgetpu
from edge.accelerator import Accelerated, open_judge
from edge.bundle import load_bundle
from edge.classify import Classifier, Judge
from edge.daemon import InUse
from edge.edgetpu import EdgeTpu, TpuAbsent, TpuFailed
from edge.errors import DataError, Unavailable
from edge.records import Box
from tests.edge.bundles import GREEN_BGR, MODEL, RED_BGR, make_bundle, plain
from tests.edge.tpu import COMPILED, FakeTpu, make_tpu_bundle, needs_cc

FACE = Box(10, 10, 30, 30)
GREEN, RED = plain(GREEN_BGR, 50, 50), plain(RED_BGR, 50, 50)


@pytest.fixture
def tpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTpu:
    return FakeTpu(tmp_path, monkeypatch)


@pytest.fixture
def none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No library at all, whatever this machine has."""
    monkeypatch.setattr(edgetpu, "LIBRARY", "libedgetpu-that-is-not-here.so.1")
    monkeypatch.setattr(EdgeTpu.__init__, "__defaults__", ("libedgetpu-that-is-not-here.so.1",))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (edgetpu, accelerator):
        monkeypatch.setattr(module, "START_S", 5)
    monkeypatch.setattr(edgetpu, "RUN_S", 1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judges(tmp_path: Path) -> Iterator[list[Judge]]:
    """Closed at the end."""
    opened: list[Judge] = []
    yield opened
    for judge in opened:
        judge.close()


def accelerated(tmp_path: Path, policy: str, clock: Clock, judges: list[Judge]) -> Accelerated:
    judge = Accelerated(load_bundle(make_tpu_bundle(tmp_path / "bundle")), COMPILED, policy, stays=True, clock=clock)
    judges.append(judge)
    judge.settle()
    return judge


def is_on_tpu(judge: Judge) -> bool:
    return judge.runtime.endswith(", libedgetpu.so.1")


def comes_back(judge: Judge, clock: Clock) -> bool:
    """When the pause is over, within the real seconds that a start may take."""
    deadline_s = time.monotonic() + 20
    while not is_on_tpu(judge) and time.monotonic() < deadline_s:
        clock.now_s += 60
        judge.tend()
        time.sleep(0.02)
    return is_on_tpu(judge)


def children() -> set[int]:
    listed = (Path("/proc/self/task") / str(os.getpid()) / "children").read_text()
    return {int(pid) for pid in listed.split()}


# What the child says of the driver


@needs_cc
def test_a_model_on_the_tpu_gives_what_the_cpu_gives(tpu: FakeTpu, tmp_path: Path, judges: list[Judge]) -> None:
    bundle = load_bundle(make_tpu_bundle(tmp_path / "bundle"))
    there, here = open_judge(bundle, "edgetpu"), Classifier(bundle)
    judges.append(there)
    assert is_on_tpu(there)
    for picture in (GREEN, RED, plain((9, 100, 200), 50, 50)):
        reading = there.read(picture, FACE)
        assert reading is not None
        assert reading.p_mask == pytest.approx(here.read(picture, FACE).p_mask, abs=0.02)


@needs_cc
@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("load-null", TpuAbsent, "finds no Edge TPU, or none that is free"),
        ("load-error", TpuAbsent, "USB transfer error 2"),
        ("load-segfault", TpuFailed, "its process was ended by SIGSEGV"),
        ("load-abort", TpuFailed, "its process was ended by SIGABRT"),
        ("load-hang", TpuFailed, "it was not ready within 5 s and was ended"),
        ("prepare-error", TpuFailed, "model cannot be run by"),
        ("run-error", TpuFailed, "transfer on tag 1 failed|failed to invoke"),
        ("run-segfault", TpuFailed, "SIGSEGV"),
        ("run-hang", TpuFailed, "not ready within 5 s"),
    ],
)
def test_whatever_the_driver_does_at_the_start_is_said_in_time_and_this_process_lives(
    tpu: FakeTpu, impatient: None, mode: str, kind: type[Exception], words: str
) -> None:
    before = children()
    tpu.does(mode)
    began_s = time.monotonic()
    with pytest.raises(kind, match=words) as caught:
        EdgeTpu(COMPILED).is_ready(5.0)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began_s < 20
    assert children() <= before  # killed, and no zombie


@needs_cc
@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("run-error", "transfer on tag 1 failed|failed to invoke"),
        ("run-segfault", "its process was ended by SIGSEGV"),
        ("run-abort", "its process was ended by SIGABRT"),
        ("run-hang", "it gave no answer within 1 s and was ended"),
    ],
)
@pytest.mark.parametrize("policy", ["auto", "edgetpu"])
def test_a_tpu_that_fails_at_work_is_told_and_taken_again_when_it_is_back(
    tpu: FakeTpu, tmp_path: Path, impatient: None, clock: Clock, judges: list[Judge], mode: str, words: str,
    policy: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    before = children()
    judge = accelerated(tmp_path, policy, clock, judges)
    assert (is_on_tpu(judge), judge.tend()) == (True, None)
    tpu.does(mode)
    with caplog.at_level(logging.INFO):
        reading = judge.read(GREEN, FACE)
    assert (reading is not None and reading.p_mask > 0.9) if policy == "auto" else reading is None
    assert judge.tend() == "lost"
    assert not is_on_tpu(judge)
    assert children() <= before
    [said] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert re.search(words, said.message)
    assert ("the CPU judges" if policy == "auto" else "nobody is judged") in said.message
    tpu.does("ok")
    assert comes_back(judge, clock)
    assert judge.tend() is None
    assert judge.read(RED, FACE) is not None


@needs_cc
def test_a_child_that_was_killed_from_outside_is_a_failure_like_any_other(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    before = children()
    judge = accelerated(tmp_path, "auto", clock, judges)
    [child] = children() - before
    os.kill(child, signal.SIGKILL)
    assert judge.read(GREEN, FACE) is not None
    assert judge.tend() == "lost"


@needs_cc
def test_a_tpu_that_gives_other_answers_than_the_model_is_not_used(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge], caplog: pytest.LogCaptureFixture
) -> None:
    tpu.does("run-wrong")
    judge = accelerated(tmp_path, "auto", clock, judges)
    assert not is_on_tpu(judge)
    assert judge.tend() == "failed"
    assert "failed the bundle's self-test (green.png gives" in caplog.text


@needs_cc
def test_the_child_of_a_parent_that_is_gone_ends_though_its_driver_hangs(
    tpu: FakeTpu, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgetpu, "START_S", 1)
    tpu.does("load-hang")
    one = EdgeTpu(COMPILED)
    one._connection.close()  # as when the parent was killed
    assert one._process.wait(10) == -signal.SIGALRM


def test_a_process_that_cannot_be_started_is_a_failure_that_leaves_nothing_open(
    tmp_path: Path, clock: Clock, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgetpu, "CHILD", ("/no/such/python",))
    before = len(list(Path("/proc/self/fd").iterdir()))
    judge = accelerated(tmp_path, "auto", clock, judges)
    assert judge.tend() == "failed"
    assert judge.read(GREEN, FACE) is not None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@needs_cc
def test_losing_and_finding_it_again_leaves_no_file_and_no_process_behind(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    judge = accelerated(tmp_path, "auto", clock, judges)
    files, processes = len(list(Path("/proc/self/fd").iterdir())), len(children())
    for mode in ("run-error", "run-segfault", "run-abort"):
        tpu.does(mode)
        judge.read(GREEN, FACE)
        tpu.does("ok")
        assert comes_back(judge, clock)
    assert (len(list(Path("/proc/self/fd").iterdir())), len(children())) == (files, processes)


# The policy


@needs_cc
def test_cpu_never_looks_for_one(tpu: FakeTpu, tmp_path: Path) -> None:
    before = children()
    judge = open_judge(load_bundle(make_tpu_bundle(tmp_path / "bundle")), "cpu")
    assert isinstance(judge, Classifier)
    assert judge.tend() is None
    assert children() == before


@needs_cc
def test_auto_takes_a_tpu_that_is_there_and_says_so(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        judge = accelerated(tmp_path, "auto", clock, judges)
    assert is_on_tpu(judge)
    assert "accelerator: the Edge TPU judges" in caplog.text


def test_auto_without_a_library_takes_the_cpu_says_so_and_is_well(
    none: None, tmp_path: Path, clock: Clock, judges: list[Judge], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        judge = accelerated(tmp_path, "auto", clock, judges)
    assert judge.read(GREEN, FACE) is not None
    assert judge.tend() is None
    assert "cannot be loaded" in caplog.text
    assert "the CPU judges" in caplog.text
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_auto_with_a_bundle_that_was_not_compiled_looks_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = children()
    with caplog.at_level(logging.INFO):
        judge = open_judge(load_bundle(make_bundle(tmp_path)), "auto")
    assert isinstance(judge, Classifier)
    assert "accelerator: none, the bundle has no model for one" in caplog.text
    assert children() == before


def test_edgetpu_without_one_is_an_error_at_a_terminal(none: None, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be loaded") as caught:
        open_judge(load_bundle(make_tpu_bundle(tmp_path)), "edgetpu")
    assert caught.value.exit_code == 69


def test_edgetpu_without_one_stays_up_in_a_service_judges_nobody_and_says_why(
    none: None, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    judge = accelerated(tmp_path, "edgetpu", clock, judges)
    assert judge.tend() == "absent"
    assert judge.read(GREEN, FACE) is None
    assert judge.runtime == "none: the Edge TPU is away"


@needs_cc
def test_a_tpu_that_enumerates_after_the_daemon_is_taken_then(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    tpu.does("load-null")
    judge = accelerated(tmp_path, "edgetpu", clock, judges)
    assert judge.tend() == "absent"
    tpu.does("ok")
    assert comes_back(judge, clock)
    assert judge.tend() is None


@needs_cc
def test_looking_for_it_again_never_holds_up_the_frames(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    tpu.does("load-null")
    judge = accelerated(tmp_path, "auto", clock, judges)
    tpu.does("load-hang")
    clock.now_s += 3600
    began_s = time.monotonic()
    for _ in range(20):
        assert judge.read(GREEN, FACE) is not None
        judge.tend()
    assert time.monotonic() - began_s < 2


def test_a_tpu_that_is_away_fills_no_log_and_is_looked_for_ever_more_seldom(
    none: None, tmp_path: Path, clock: Clock, judges: list[Judge], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    looks: list[float] = []

    class Away(EdgeTpu):
        def __init__(self, model: bytes) -> None:
            looks.append(clock.now_s)
            raise TpuAbsent("no Edge TPU")

    monkeypatch.setattr(accelerator, "EdgeTpu", Away)
    with caplog.at_level(logging.INFO):
        judge = accelerated(tmp_path, "edgetpu", clock, judges)
        for _ in range(3600):
            clock.now_s += 1
            judge.tend()
    assert 60 <= len(looks) <= 300
    assert len(caplog.records) == 1


# What a bundle must hold


def test_edgetpu_with_a_bundle_that_was_not_compiled_is_65_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no model_edgetpu.tflite.*trainer export --edgetpu.*\"auto\" or \"cpu\""
    ):
        open_judge(load_bundle(make_bundle(tmp_path)), "edgetpu", stays=True)


def test_a_plain_model_in_the_compiled_one_s_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model_edgetpu.tflite is not compiled for an Edge TPU"):
        load_bundle(make_tpu_bundle(tmp_path, compiled=MODEL))


def test_a_compiled_model_in_the_plain_one_s_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.tflite is compiled for an Edge TPU, which belongs into model_edgetpu"):
        load_bundle(make_bundle(tmp_path, {"model.tflite": COMPILED}))


# Reload


@needs_cc
def test_after_a_reload_the_new_model_takes_the_tpu_that_the_old_one_let_go_of(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    told: list[str] = []
    old = accelerated(tmp_path, "auto", clock, judges)
    in_use = InUse(old, lambda judge: told.append(judge.runtime))
    new = Accelerated(load_bundle(make_tpu_bundle(tmp_path / "new")), COMPILED, "auto", stays=True, clock=clock)
    judges.append(new)
    assert new.read(GREEN, FACE) is not None  # by the CPU: nothing waits for the TPU
    in_use.use(new)
    deadline_s = time.monotonic() + 20
    while not is_on_tpu(new) and time.monotonic() < deadline_s:
        clock.now_s += 60
        assert in_use.tend() is None
        time.sleep(0.02)
    assert [runtime.endswith(", libedgetpu.so.1") for runtime in told] == [False, True]
    assert not is_on_tpu(old)


@needs_cc
def test_a_tpu_that_another_program_has_is_absent_until_it_is_free(
    tpu: FakeTpu, tmp_path: Path, clock: Clock, judges: list[Judge]
) -> None:
    other = EdgeTpu(COMPILED)
    assert other.is_ready(20)
    judge = accelerated(tmp_path, "edgetpu", clock, judges)
    assert judge.tend() == "absent"
    other.close()
    assert comes_back(judge, clock)
