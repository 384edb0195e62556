"""A Debian 12 to boot: made once by debootstrap, kept outside of the tree, and never written to by a test.

The device's dependencies are already in its /opt/mask-edge, so that a run installs one wheel and not a hundred MB.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = Path("/var/cache/mask-edge-tests")
SUITE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "iproute2", "procps"),
    *("python3", "python3-venv", "ca-certificates", "mosquitto", "mosquitto-clients"),
)
NEEDED: Final = ("debootstrap", "systemd-nspawn", "nsenter", "ffmpeg", "mkfs.ext4", "findmnt")
QUIETLY: Final = ("nice", "-n", "19")


def missing() -> str | None:
    """What keeps this machine from booting a container, in a line with the remedy; None where nothing does."""
    if os.getuid() != 0:
        return "needs root: sudo make test-service"
    absent = [program for program in NEEDED if not shutil.which(program)]
    if absent:
        return f"needs {', '.join(absent)}: apt install debootstrap systemd-container util-linux e2fsprogs ffmpeg"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "needs overlayfs in the kernel: modprobe overlay"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices, for a disk that can be full: modprobe loop"
    return None


def dependencies() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def base() -> Path:
    """The root file system, made where it is not there yet: minutes, and 900 MB."""
    key = hashlib.sha256(repr((SUITE, PACKAGES, dependencies())).encode()).hexdigest()[:12]
    ready, new = CACHE / f"{SUITE}-{key}", CACHE / f"{SUITE}-{key}.new"
    if ready.is_dir():
        return ready
    shutil.rmtree(new, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    packages = f"--include={','.join(PACKAGES)}"
    do("debootstrap", "--variant=minbase", packages, SUITE, str(new), MIRROR)
    in_it(new, "python3", "-m", "venv", "/opt/mask-edge")
    wheels = download()
    pip = ("/opt/mask-edge/bin/pip", "install", "--quiet", "--no-index", "--find-links=/wheels")
    in_it(new, *pip, *dependencies(), bind={wheels: "/wheels"})
    new.rename(ready)
    return ready


def download() -> Path:
    """The dependencies as wheels for the container's Python, through this machine's pip and its cache."""
    to = CACHE / "wheels"
    python = ("--only-binary=:all:", "--python-version=3.11", f"--dest={to}")
    do(sys.executable, "-m", "pip", "download", "--quiet", *python, *dependencies())
    return to


def build_wheel(folder: Path) -> Path:
    """The project as it stands in the tree."""
    do(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(ROOT))
    return next(folder.glob("mask_edge-*.whl"))


@contextmanager
def layer(folder: Path) -> Iterator[Path]:
    """A root that may be written to; all that is written goes to ``folder``."""
    upper, work, merged = (folder / name for name in ("upper", "work", "root"))
    for one in (upper, work, merged):
        one.mkdir()
    options = f"lowerdir={base()},upperdir={upper},workdir={work}"
    do("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
    try:
        yield merged
    finally:
        do("umount", "--lazy", str(merged))


def in_it(root: Path, *argv: str, bind: dict[Path, str] | None = None) -> None:
    """Run one command in a root that is not booted."""
    binds = [f"--bind-ro={outside}:{inside}" for outside, inside in (bind or {}).items()]
    do("systemd-nspawn", "--quiet", "-D", str(root), "--register=no", "--keep-unit", "--pipe", *binds, *argv)


def do(*argv: str) -> None:
    """Run a command to its end; its output is shown only where it fails."""
    done = subprocess.run([*QUIETLY, *argv], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{said(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def said(argv: Sequence[str]) -> str:
    return " ".join(argv[:6])


if __name__ == "__main__":
    print(missing() or base())
