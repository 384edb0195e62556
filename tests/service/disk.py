"""A small disk for the state folder: ext4 in a file, so that it can really be full, and its writes be counted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.service.rootfs import do

SIZE_BYTES: Final = 128 * 2**20  # room for outbox.max_events, or `edge check` would warn
SECTOR_BYTES: Final = 512  # the unit of /sys/block/*/stat, whatever the disk's own


@dataclass(frozen=True, slots=True)
class Disk:
    """folder: where this machine sees it. device: its name below /sys/block, empty for a part of the root."""

    folder: Path
    device: str

    def fill(self) -> None:
        """Until not a byte can be had."""
        fd = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
        at, piece = 0, 2**20
        while piece >= 512:
            try:
                os.posix_fallocate(fd, at, piece)
                at += piece
            except OSError:
                piece //= 2
        os.close(fd)

    def make_room(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def written_bytes(self) -> int:
        """What the disk was given to write since it is there: files, directories, the file system's journal."""
        do("sync", "--file-system", str(self.folder))
        return int(Path(f"/sys/block/{self.device}/stat").read_text().split()[6]) * SECTOR_BYTES


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    do("mkfs.ext4", "-q", "-m", "0", str(image))
    do("mount", "-o", "loop", str(image), str(mounted))
    try:
        yield Disk(mounted, device_of(mounted))
    finally:
        with suppress(AssertionError):
            do("umount", "--lazy", str(mounted))


def device_of(mounted: Path) -> str:
    found = subprocess.run(["findmnt", "-n", "-o", "SOURCE", str(mounted)], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()).name
