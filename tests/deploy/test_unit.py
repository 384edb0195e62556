"""The unit as a file: what systemd itself says of it, and that it keeps to what the code promises."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config import Config
from edge.journal import IDENTIFIER
from edge.places import PACKAGE, SYSTEM_CONFIG, SYSTEM_STATE
from edge.sinks.mqtt_address import CREDENTIAL
from edge.sinks.mqtt_session import FAREWELL_S, HANG_UP_S
from edge.sources.live import EXIT_S

DEPLOY = PACKAGE.parent / "deploy" / "systemd"
DOCS = PACKAGE.parent / "docs"
UNIT = DEPLOY / "mask-edge.service"
MOST_EXPOSED = 1.3  # a ratchet: lower it when it falls; the issue asks for 1.8
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def section(name: str) -> list[str]:
    lines = UNIT.read_text().partition(f"[{name}]\n")[2].partition("\n[")[0].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def value(key: str) -> str:
    (found,) = [line.partition("=")[2] for line in section("Service") if line.startswith(f"{key}=")]
    return found


@needs_systemd
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    """Of this machine it only lacks the program itself."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/mask-edge/bin/edge", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def exposure() -> str:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_systemd
def test_its_exposure_does_not_rise() -> None:
    level = float(exposure().rpartition("exposure level for mask-edge.service: ")[2].split()[0])
    assert level <= MOST_EXPOSED


@needs_systemd
def test_whatever_stays_open_is_explained() -> None:
    explained = (DOCS / "threat-model.md").read_text().partition("### What stays open")[2]
    opened = [line.split()[1].replace("(", "") for line in exposure().splitlines() if line.startswith("✗")]
    names = [re.findall(r"AF_[A-Z]+|^[A-Za-z]+", said)[-1] for said in opened]  # RestrictAddressFamilies=~AF_UNIX
    assert names
    assert [name for name in names if name not in explained] == []


def test_it_never_ends_in_a_start_limit() -> None:
    assert "StartLimitIntervalSec=0" in section("Unit")  # in [Service] it would be passed over
    assert value("Restart") == "always"


def test_a_stop_has_time_for_all_that_a_stop_does() -> None:
    needed_s = Config().publish.drain_s + FAREWELL_S + 2 * HANG_UP_S + EXIT_S
    assert needed_s < float(value("TimeoutStopSec"))


def test_no_picture_reaches_the_disk_by_a_core_dump_or_by_swap() -> None:
    assert (value("LimitCORE"), value("MemorySwapMax")) == ("0", "0")


def test_its_folders_and_its_credential_are_those_that_the_code_looks_for() -> None:
    assert value("ConfigurationDirectory") == SYSTEM_CONFIG.parent.name
    assert value("StateDirectory") == SYSTEM_STATE.name
    assert value("LoadCredential").startswith(f"{CREDENTIAL}:")
    assert not value("LoadCredential").partition(":")[2].startswith("/")  # an absolute path must be there, or no start


def test_the_journal_knows_it_by_one_name_whoever_writes() -> None:
    assert value("SyslogIdentifier") == IDENTIFIER


def test_the_coral_is_let_in_before_and_after_its_firmware() -> None:
    rules = (DEPLOY / "60-mask-edge-coral.rules").read_text()
    found = re.findall(r'idVendor}=="(\w+)", ATTR{idProduct}=="(\w+)", GROUP="mask-edge"', rules)
    assert found == [("1a6e", "089a"), ("18d1", "9302")]
