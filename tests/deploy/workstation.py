"""The workstation of the tests: ``deploy/install`` as a user runs it, a broker, and other versions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.deploy.bench import Bench, Door
from tests.mosquitto import find_mosquitto, free_port, wait_until
from tests.service.rootfs import ROOT, do

LOOPS: Final = 270  # of the clip of 20 s: an hour and a half
CLIP: Final = "/srv/loop.mp4"


@dataclass(frozen=True, slots=True)
class Said:
    """How a run of ``deploy/install`` ended. out: stdout; err: stderr, the steps as they went."""

    code: int
    out: str
    err: str

    def doors(self) -> dict[str, dict[str, Any]]:
        assert self.out, self.err
        return {door["door"]: door for door in json.loads(self.out)["doors"]}


def install(bench: Bench, *words: str, tree: Path = ROOT, stdin: str = "") -> Said:
    """As from a terminal, but without one."""
    argv = (str(tree / "deploy/install"), "-F", str(bench.ssh_config), *words)
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=900, check=False, start_new_session=True
    )
    return Said(done.returncode, done.stdout, done.stderr)


def give_clip(door: Door) -> None:
    """A camera: the demo's clip, again and again."""
    clip = ("-stream_loop", str(LOOPS - 1), "-i", str(ROOT / "demo/door.mp4"), "-c", "copy", "-an")
    do("ffmpeg", "-loglevel", "error", *clip, str(door.root / CLIP.lstrip("/")))


@dataclass(frozen=True, slots=True)
class Broker:
    """On every address of the workstation. plain: anybody; secure: TLS, and a login."""

    plain: int
    secure: int


@contextlib.contextmanager
def brokering(folder: Path, certificate: Path, key: Path, login: tuple[str, str]) -> Iterator[Broker]:
    broker = Broker(free_port(), free_port())
    passwords = folder / "passwords"
    do("mosquitto_passwd", "-b", "-c", str(passwords), *login)
    lines = (
        *("per_listener_settings true", "user root"),
        *(f"listener {broker.plain} 0.0.0.0", "allow_anonymous true"),
        *(f"listener {broker.secure} 0.0.0.0", f"certfile {certificate}", f"keyfile {key}"),
        *("allow_anonymous false", f"password_file {passwords}"),
    )
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([str(find_mosquitto()), "-c", str(config)], stdout=log, stderr=log)
    try:
        wait_until(lambda: (folder / "mosquitto.log").read_text().count("Opening ipv4") == 2, "mosquitto listens")
        yield broker
    finally:
        process.terminate()
        process.wait(10)


def another_version(folder: Path, version: str, breaks: bool = False) -> Path:
    """A copy of the tree, of another version. breaks: one that passes every look, and whose daemon does not run."""
    for part in ("edge", "trainer", "models", "deploy"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("README.md", "LICENSE", "NOTICE", "pyproject.toml"):
        shutil.copy(ROOT / part, folder)
    replace(folder / "pyproject.toml", 'version = "0.1.0"', f'version = "{version}"')
    replace(folder / "edge/__init__.py", "0.1.0", version)
    if breaks:
        main = folder / "edge/__main__.py"
        replace(
            main,
            "def act_run(args: argparse.Namespace) -> int:\n",
            'def act_run(args):\n    sys.exit("broken on purpose")\n',
        )
    (folder / ".cache").mkdir()
    for shared in (".cache/deploy", ".venv"):
        if (ROOT / shared).exists():
            (folder / shared).symlink_to(os.path.realpath(ROOT / shared))
    return folder


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new))


def files_of(door: Door) -> dict[str, tuple[str, float, int]]:
    """All that differs from the base, but for what a machine that does nothing writes: path to mode, time, size."""
    idle = (
        "var/log",
        "run",
        "tmp",
        "var/tmp",
        "var/lib/systemd",
        "dev",
        "proc",
        "sys",
        "etc/machine-id",
        "root/.cache",
    )
    found = {}
    for path in sorted(door.upper.rglob("*")):
        name = path.relative_to(door.upper).as_posix()
        if not name.startswith(idle) and not path.is_dir():
            seen = path.lstat()
            found[name] = (oct(seen.st_mode), seen.st_mtime, seen.st_size)
    return found
