"""A booted machine: a real systemd as process 1, a real Mosquitto, and our unit installed as docs/operate.md says."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.service.rootfs import ROOT, build_wheel, do, in_it, layer

UNIT: Final = "mask-edge.service"
BOOT_S: Final = 60.0
CLIP_S: Final = 20  # demo/door.mp4, and about 11 events
LOOPS: Final = 90  # half an hour of it
HERE: Final = "/root/mask-edge"  # where the technician unpacked the tree
CONFIG: Final = """
[device]
name = "door"
[camera]
source = "/srv/loop.mp4"
[detector]
name = "centerface"
[publish]
sinks = ["mqtt://127.0.0.1"]
"""
# What was taken for the daemon to say READY and to feed the watchdog is not in this tree: then only the rest is tested.
SILENT: Final = "[Service]\nType=exec\nWatchdogSec=0\n"


def speaks() -> bool:
    """Does the tree's daemon talk to systemd?"""
    return (ROOT / "edge" / "notify.py").is_file()


@dataclass(frozen=True, slots=True)
class Machine:
    """leader: process 1 of the container, as this machine numbers it."""

    root: Path
    leader: int

    def run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run([*self.enter(), *argv], check=False, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def enter(self) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self.leader), "-a", "--")

    def show(self, name: str) -> str:
        """A property of our unit."""
        return self.run("systemctl", "show", "-P", name, UNIT)

    def pid(self) -> str | None:
        """Of the daemon while the unit is active, else None; both of one moment."""
        said = self.run("systemctl", "show", "-p", "ActiveState", "-p", "MainPID", UNIT)
        facts = dict(line.split("=", 1) for line in said.splitlines())
        return facts["MainPID"] if facts["ActiveState"] == "active" and facts["MainPID"] != "0" else None

    def is_active(self) -> bool:
        return self.pid() is not None

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT, check=False)

    def signal(self, name: str) -> None:
        self.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", UNIT)

    def seconds_until(self, is_true: Callable[[], bool], what: str, limit_s: float) -> float:
        started_s = time.monotonic()
        while not is_true():
            assert time.monotonic() - started_s < limit_s, f"not within {limit_s} s: {what}\n{self.journal()[-4000:]}"
            time.sleep(0.1)
        return time.monotonic() - started_s


@dataclass(frozen=True, slots=True)
class Listener:
    """What an independent subscriber (mosquitto_sub, a session that outlives the broker) got."""

    record: Path

    def payloads(self, suffix: str) -> list[str]:
        lines = [line.partition(" ") for line in self.record.read_text().splitlines()]
        return [payload for topic, _, payload in lines if topic.endswith(suffix)]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads("/event")]


@dataclass(frozen=True, slots=True)
class Books:
    """Every event by ``id``: how many came, which numbers are missing, how many came again, and were they in order."""

    held: int
    lost: int
    again: int
    in_order: bool


def books(events: list[dict[str, Any]]) -> Books:
    count = Counter(event["id"] for event in events)
    seqs = [event["seq"] for event in {event["id"]: event for event in events}.values()]  # in the order of first sight
    missing = set(range(1, max(seqs, default=0) + 1)) - set(seqs)
    return Books(len(count), len(missing), sum(count.values()) - len(count), seqs == sorted(seqs))


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine with everything installed but not started. folder: of the test's own, for all that is written."""
    with layer(folder) as root:
        furnish(root, folder)
        log = (folder / "console").open("wb")
        argv = ("systemd-nspawn", "--quiet", "-D", str(root), "-b", "--private-network", "--register=no", "--keep-unit")
        nspawn = subprocess.Popen([*argv, "--link-journal=no"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield up(root, nspawn, folder / "console")
        finally:
            nspawn.send_signal(signal.SIGTERM)  # powers the container off
            with contextlib.suppress(subprocess.TimeoutExpired):
                nspawn.wait(60)
            nspawn.kill()
            nspawn.wait()
            log.close()


def up(root: Path, nspawn: subprocess.Popen[bytes], console: Path) -> Machine:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s and nspawn.poll() is None:
        pids = children.read_text().split()
        if pids:
            machine = Machine(root, int(pids[0]))
            state = machine.run("systemctl", "is-system-running", check=False)
            if state in ("running", "degraded"):
                return machine
        time.sleep(0.2)
    raise AssertionError(f"the container did not come up:\n{console.read_text(errors='replace')[-4000:]}")


def furnish(root: Path, folder: Path) -> None:
    """The tree as a technician has it, installed by the lines of docs/operate.md; the clip; the detector's file."""
    here = root / HERE.lstrip("/")
    here.mkdir()
    for part in ("deploy", "docs"):
        shutil.copytree(ROOT / part, here / part)
    shutil.copy(build_wheel(folder), here)
    in_it(root, "sh", "-euxc", f"cd {HERE}\n{install_lines()}")
    (root / "etc/mask-edge/config.toml").write_text(CONFIG)
    detectors = root / "var/lib/mask-edge/third_party"
    detectors.mkdir(parents=True)
    shutil.copy(ROOT / "models/third_party/centerface.onnx", detectors)
    clip = ("-stream_loop", str(LOOPS - 1), "-i", str(ROOT / "demo/door.mp4"), "-c", "copy", "-an")
    do("ffmpeg", "-loglevel", "error", *clip, str(root / "srv/loop.mp4"))
    if not speaks():
        override = root / f"etc/systemd/system/{UNIT}.d/silent.conf"
        override.parent.mkdir()
        override.write_text(SILENT)


def install_lines() -> str:
    """The shell block of "Install by hand", as it stands; pip finds only what the technician brought along."""
    text = (ROOT / "docs" / "operate.md").read_text()
    block = re.search(r"## Install by hand.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block
    # Nothing runs yet: what speaks to process 1 or to udev has nobody to speak to.
    lines = [line for line in block[1].splitlines() if not line.startswith(("udevadm ", "systemctl "))]
    return "export PIP_NO_INDEX=1\n" + "\n".join(lines)


@contextlib.contextmanager
def listening(machine: Machine, record: Path) -> Iterator[Listener]:
    with record.open("wb") as out:
        session = ("-V", "5", "-i", "listener", "-c", "-x", "4294967295", "-q", "1")
        argv = ("mosquitto_sub", "-h", "127.0.0.1", *session, "-t", "mask-edge/#", "-F", "%t %p")
        process = subprocess.Popen([*machine.enter(), *argv], stdout=out, stderr=subprocess.DEVNULL)
        try:
            yield Listener(record)
        finally:
            process.terminate()
            process.wait(10)
