"""A booted machine: a real systemd as process 1, a real Mosquitto, and our unit installed as docs/operate.md says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.service.crowd import CHANGE_S, make_crowd
from tests.service.disk import Disk, small_disk
from tests.service.rootfs import ROOT, build_wheel, do, in_it, layer

UNIT: Final = "mask-edge.service"
BOOT_S: Final = 60.0
CLIP_S: Final = 20  # demo/door.mp4, and about 11 events
LOOPS: Final = 90  # half an hour of it
HERE: Final = "/root/mask-edge"  # where the technician unpacked the tree
CLIP: Final = "/srv/loop.mp4"
CONFIG: Final = """
[device]
name = "door"
[camera]
source = "{source}"
[detector]
name = "centerface"
[publish]
sinks = ["mqtt://127.0.0.1"]
"""
CROWD: Final = f"""
[device]
name = "door"
[camera]
source = "/srv/crowd/people"
[classifier]
bundle = "/srv/crowd/bundle"
[decide]
change_s = {CHANGE_S}
[publish]
sinks = ["mqtt://127.0.0.1"]
"""
# A source that is no camera is taken as fast as it can be judged.
IN_HASTE: Final = "[Service]\nExecStart=\nExecStart=/opt/mask-edge/bin/edge run --pace max\n"
# Mosquitto keeps 1,000 messages for a subscriber that is slow, and drops the rest: not what is tested here.
BROKER: Final = "max_queued_messages 0\n"


@dataclass(frozen=True, slots=True)
class Machine:
    """leader: process 1 of the container, as this machine numbers it. disk: what lies at /var/lib/mask-edge."""

    root: Path
    leader: int
    disk: Disk

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

    def status(self) -> dict[str, Any]:
        """What ``edge status --json`` gives, of the last five seconds; empty while no daemon runs."""
        said = self.run("cat", "/run/mask-edge/status.json", check=False)
        found: dict[str, Any] = json.loads(said) if said else {}
        return found

    def reasons(self) -> list[str]:
        found: list[str] = self.status().get("reasons", [])
        return found

    def depth(self) -> int:
        """Events that wait in the outbox, on disk and in memory."""
        found: int = self.status().get("outbox", {}).get("depth", 0)
        return found

    def stop_broker(self) -> None:
        self.run("systemctl", "stop", "mosquitto")

    def start_broker(self) -> None:
        """What it says is shown where it does not start; Debian's unit tries again."""
        self.run("systemctl", "start", "mosquitto", check=False)
        deadline_s = time.monotonic() + BOOT_S
        while self.run("systemctl", "is-active", "mosquitto", check=False) != "active":
            said = self.run("systemctl", "status", "--no-pager", "--full", "mosquitto", check=False)
            assert time.monotonic() < deadline_s, said
            time.sleep(0.2)

    def watch(self, source: str) -> None:
        """Start the unit with this source, in real time."""
        self._start_with(CONFIG.format(source=source), None)

    def watch_crowd(self) -> None:
        """Start the unit with ``crowd`` before it, as fast as it can be judged."""
        self._start_with(CROWD, IN_HASTE)

    def _start_with(self, config: str, override: str | None) -> None:
        """Nothing where it runs with these already."""
        file, beside = self.root / "etc/mask-edge/config.toml", self.root / f"etc/systemd/system/{UNIT}.d/test.conf"
        if (file.read_text(), beside.exists()) == (config, override is not None) and self.is_active():
            return
        file.write_text(config)
        beside.parent.mkdir(exist_ok=True)
        beside.unlink(missing_ok=True)
        if override is not None:
            beside.write_text(override)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", UNIT)

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
    """What an independent subscriber (mosquitto_sub, a session that outlives the broker) got: lines of topic, user
    properties and payload."""

    record: Path

    def lines(self, suffix: str) -> list[tuple[str, str]]:
        """Properties and payload of all that came on topics with this end."""
        whole = self.record.read_text().rpartition("\n")[0]  # the last line may still be coming
        found = [line.split("\t", 2) for line in whole.splitlines()]
        return [(properties, payload) for topic, properties, payload in found if topic.endswith(suffix)]

    def payloads(self, suffix: str) -> list[str]:
        return [payload for _, payload in self.lines(suffix)]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads("/event")]

    def replayed(self) -> set[str]:
        """``id`` of every event that came at least once with ``replayed=true``."""
        lines = self.lines("/event")
        return {json.loads(payload)["id"] for properties, payload in lines if properties == "replayed:true"}

    def count(self) -> int:
        """Events that came, the same one again included; quick."""
        return self.record.read_bytes().count(b"/event\t")


@dataclass(frozen=True, slots=True)
class Books:
    """Every event by ``id``: how many came, which numbers are missing, how many came again, and were they in order.

    epochs: those seen, in order; the numbers of each begin with 1. last_seq: of the last of them.
    """

    held: int
    lost: int
    again: int
    in_order: bool
    epochs: tuple[str, ...]
    last_seq: int


def books(events: list[dict[str, Any]]) -> Books:
    count = Counter(event["id"] for event in events)
    seqs: defaultdict[str, list[int]] = defaultdict(list)
    for event in {event["id"]: event for event in events}.values():  # in the order of first sight
        seqs[event["id"].split(":")[1]].append(event["seq"])
    lost = sum(len(set(range(1, max(numbers) + 1)) - set(numbers)) for numbers in seqs.values())
    in_order = all(numbers == sorted(numbers) for numbers in seqs.values())
    last_seq = max(list(seqs.values())[-1]) if seqs else 0
    return Books(len(count), lost, sum(count.values()) - len(count), in_order, tuple(seqs), last_seq)


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine with everything installed but not started. folder: of the test's own, for all that is written."""
    with layer(folder) as root, small_disk(folder) as disk:
        furnish(root, folder, disk)
        log = (folder / "console").open("wb")
        nspawn = subprocess.Popen(booting(root, disk), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield up(root, nspawn, folder / "console", disk)
        finally:
            nspawn.send_signal(signal.SIGTERM)  # powers the container off
            with contextlib.suppress(subprocess.TimeoutExpired):
                nspawn.wait(60)
            nspawn.kill()
            nspawn.wait()
            log.close()


def booting(root: Path, disk: Disk) -> list[str]:
    """The command line that boots it."""
    name = f"--machine=mask-edge-test-{os.getpid()}"
    alone = ("--private-network", "--register=no", "--keep-unit", "--link-journal=no", name)
    return ["systemd-nspawn", "--quiet", "-D", str(root), "-b", *alone, f"--bind={disk.folder}:/var/lib/mask-edge"]


def up(root: Path, nspawn: subprocess.Popen[bytes], console: Path, disk: Disk) -> Machine:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s and nspawn.poll() is None:
        pids = children.read_text().split()
        if pids:
            machine = Machine(root, int(pids[0]), disk)
            state = machine.run("systemctl", "is-system-running", check=False)
            if state in ("running", "degraded"):
                return machine
        time.sleep(0.2)
    raise AssertionError(f"the container did not come up:\n{console.read_text(errors='replace')[-4000:]}")


def furnish(root: Path, folder: Path, disk: Disk) -> None:
    """The tree as a technician has it, installed by the lines of docs/operate.md; the clip; the detectors' files."""
    here = root / HERE.lstrip("/")
    here.mkdir()
    for part in ("deploy", "docs"):
        shutil.copytree(ROOT / part, here / part)
    shutil.copy(build_wheel(folder), here)
    in_it(root, "sh", "-euxc", f"cd {HERE}\n{install_lines()}")
    (root / "etc/mask-edge/config.toml").write_text(CONFIG.format(source=CLIP))
    (root / "etc/mosquitto/conf.d/test.conf").write_text(BROKER)
    detectors = disk.folder / "third_party"
    detectors.mkdir()
    for file in (ROOT / "models/third_party").glob("*.onnx"):
        shutil.copy(file, detectors)
    loop_clip(root / CLIP.lstrip("/"))
    make_crowd(root / "srv/crowd")


def loop_clip(to: Path) -> None:
    clip = ("-stream_loop", str(LOOPS - 1), "-i", str(ROOT / "demo/door.mp4"), "-c", "copy", "-an")
    do("ffmpeg", "-loglevel", "error", *clip, str(to))


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
        argv = ("mosquitto_sub", "-h", "127.0.0.1", *session, "-t", "mask-edge/#", "-F", "%t\t%P\t%p")
        process = subprocess.Popen([*machine.enter(), *argv], stdout=out, stderr=subprocess.DEVNULL)
        try:
            yield Listener(record)
        finally:
            process.terminate()
            process.wait(10)
