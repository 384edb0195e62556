"""The software as a door gets it: wheels for its architecture and Python, made and fetched once, here.

Versions and hashes are pinned in ``deploy/locks/`` (made by ``make locks``), so that every door of one kind runs the
same bytes, and a second install finds nothing new.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.doors.facts import Facts
from deploy.doors.ssh import sha256
from edge.errors import Unavailable
from edge.places import PACKAGE

ROOT: Final = PACKAGE.parent
FILES: Final = Path(__file__).resolve().parent / "files"
LOCKS: Final = ROOT / "deploy" / "locks"
UNIT: Final = ROOT / "deploy" / "systemd" / "mask-edge.service"
SWITCH: Final = FILES / "switch"
CACHE: Final = ROOT / ".cache" / "deploy"
PARTS: Final = ("edge", "trainer", "models", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
ONE_AT_A_TIME: Final = threading.Lock()
GLIBCS: Final = (17, 24, 27, 28, 31, 34, 35, 36, 38, 39, 40, 41)  # those that wheels are built for


@dataclass(frozen=True, slots=True)
class Kind:
    """Doors that take the same wheels. glibc: the minor number of the newest that they have."""

    machine: str
    python: str
    glibc: int

    @property
    def lock(self) -> Path:
        return LOCKS / f"{self.machine}-{self.python}.txt"

    def tags(self) -> list[str]:
        names = [f"manylinux_2_{minor}_{self.machine}" for minor in GLIBCS if minor <= self.glibc]
        return [*reversed(names), f"manylinux2014_{self.machine}"]


KINDS: Final = {
    ("12", "amd64"): Kind("x86_64", "3.11", 36),
    ("12", "arm64"): Kind("aarch64", "3.11", 36),
    ("13", "amd64"): Kind("x86_64", "3.13", 41),
    ("13", "arm64"): Kind("aarch64", "3.13", 41),
}


@dataclass(frozen=True, slots=True)
class Software:
    """One version of this tree for one kind of door. release: its name on the door, new whenever a byte of it is."""

    kind: Kind
    wheel: Path
    release: str

    def files(self) -> list[Path]:
        """Every wheel, fetched where it is not here yet. Raises Unavailable."""
        return [*sorted(fetched(self.kind).glob("*.whl")), self.wheel]

    def requirements(self) -> bytes:
        """For pip: what, of which version, with which hash."""
        own = f"mask-edge=={self.wheel.name.split('-')[1]} --hash=sha256:{sha256(self.wheel)}\n"
        return self.kind.lock.read_bytes() + own.encode()


def kind_of(facts: Facts, name: str) -> Kind:
    kind = KINDS.get((facts.version, facts.architecture))
    if kind is None:
        remedy = "install its 64-bit system" if facts.architecture == "armhf" else "use Debian 12 or 13, amd64 or arm64"
        raise Unavailable(f"{name} runs {facts.system}, {facts.architecture}, and there are no wheels for it: {remedy}")
    return kind


def software(kind: Kind) -> Software:
    """Build the tree's own wheel; nothing is fetched but what builds it."""
    with ONE_AT_A_TIME:
        wheel = built()
    digest = hashlib.sha256()
    for part in (wheel, kind.lock, UNIT, SWITCH):
        digest.update(sha256(part).encode())
    return Software(kind, wheel, f"{wheel.name.split('-')[1]}-{digest.hexdigest()[:12]}")


def built() -> Path:
    """The wheel of the tree as it stands; made anew only where a file of it has changed."""
    kept = CACHE / "own" / sources()
    found = list(kept.glob("mask_edge-*.whl"))
    if found:
        return found[0]
    with tempfile.TemporaryDirectory() as folder:
        pip("wheel", "--no-deps", f"--wheel-dir={folder}", str(ROOT), what="the tree's own wheel")
        (made,) = Path(folder).glob("mask_edge-*.whl")
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, kept / "new")
        return (kept / "new").rename(kept / made.name)


def sources() -> str:
    """A digest of every file that the wheel is made of, and of more."""
    digest = hashlib.sha256()
    for part in PARTS:
        top = ROOT / part
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(ROOT)} {sha256(file)}\n".encode())
    return digest.hexdigest()[:12]


def fetched(kind: Kind) -> Path:
    """A folder with all that the lock names."""
    folder = CACHE / "wheels" / f"{kind.lock.stem}-{sha256(kind.lock)[:12]}"
    with ONE_AT_A_TIME:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as new:
                wanted = ("--only-binary=:all:", "--no-deps", "--require-hashes", f"--python-version={kind.python}")
                platforms = [f"--platform={tag}" for tag in kind.tags()]
                what = f"the wheels for {kind.machine}, Python {kind.python}"
                pip("download", *wanted, *platforms, f"--dest={new}/all", f"--requirement={kind.lock}", what=what)
                (Path(new) / "all").rename(folder)
    return folder


def pip(*words: str, what: str) -> None:
    argv: Sequence[str] = (sys.executable, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        raise Unavailable(
            f"{what} could not be made here ({(lines or done.stderr.splitlines() or ['pip said nothing'])[-1]}): "
            "see that this machine reaches its package registry, and that 'make setup' has run"
        )
