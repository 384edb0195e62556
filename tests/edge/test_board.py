"""What a board tells of itself, from files as kernels lay them out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge.board import ThisBoard, Throttled, Vcgencmd, from_bits


def board(root: Path, bits: int | None = None) -> ThisBoard:
    return ThisBoard(root, lambda: bits)


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def zone(number: int, kind: str, milli_c: str) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    return {f"{folder}/type": kind, f"{folder}/temp": milli_c}


def test_a_raspberry_pi_s_temperature_is_read(tmp_path: Path) -> None:
    assert board(lay(tmp_path, zone(0, "cpu-thermal", "56212"))).temperature_c() == 56.212


def test_of_several_sensors_the_hottest_of_the_processor_counts(tmp_path: Path) -> None:
    lay(tmp_path, zone(0, "bigcore0-thermal", "61000") | zone(1, "soc-thermal", "58000") | zone(2, "battery", "90000"))
    assert board(tmp_path).temperature_c() == 61.0


@pytest.mark.parametrize("text", ["-274000", "", "unknown", "999999999"])
def test_a_sensor_that_is_away_is_no_temperature(tmp_path: Path, text: str) -> None:
    assert board(lay(tmp_path, zone(0, "cpu-thermal", text))).temperature_c() is None


def test_a_board_without_any_of_it_has_no_answers(tmp_path: Path) -> None:
    assert board(tmp_path).temperature_c() is None
    assert board(tmp_path).throttled() is None


def test_the_firmware_s_bits_have_names_now_and_since_boot() -> None:
    assert from_bits(0x50005) == Throttled(("under_voltage", "throttled"), ("under_voltage", "throttled"))
    assert from_bits(0x80000) == Throttled((), ("soft_temperature_limit",))
    assert from_bits(0) == Throttled((), ())


@pytest.mark.parametrize(("alarm", "now"), [("1", ("under_voltage",)), ("0", ())])
def test_without_the_firmware_the_kernel_s_alarm_of_low_voltage_counts(
    tmp_path: Path, alarm: str, now: tuple[str, ...]
) -> None:
    lay(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm})
    assert board(tmp_path).throttled() == Throttled(now, ())


def test_the_firmware_goes_before_the_kernel_s_alarm(tmp_path: Path) -> None:
    lay(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"})
    assert board(tmp_path, bits=0).throttled() == Throttled((), ())


def test_vcgencmd_s_answer_is_read() -> None:
    assert Vcgencmd([sys.executable, "-c", "print('throttled=0x50005')"])() == 0x50005


@pytest.mark.parametrize("does", ["exit(1)", "print('error=1')", "import time; time.sleep(60)"])
def test_a_vcgencmd_that_fails_or_hangs_is_asked_once_and_no_more(does: str) -> None:
    vcgencmd = Vcgencmd([sys.executable, "-c", does])
    assert vcgencmd() is None
    assert vcgencmd._command is None
    assert vcgencmd() is None


def test_this_process_s_memory_is_told_in_mebibytes() -> None:
    assert 5 < ThisBoard().rss_mb() < 20_000
