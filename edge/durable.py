"""Files, names and links that a power cut leaves as they were or as they shall be, never between.

The order is always the same: a file's bytes are synced, then the folder that names it, then one rename makes it count,
then the folder of that name is synced (rename(2), fsync(2); "Crash consistency" in Pillai et al., OSDI 2014).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

BESIDE: Final = ".new"  # what is not in force yet: a hidden name with this at its end
FILE_MODE: Final = 0o640
FOLDER_MODE: Final = 0o750


def make_folder(path: Path) -> None:
    """One folder, if it is not there yet; its name is on the disk when this returns."""
    if not path.is_dir():
        path.mkdir(FOLDER_MODE)
        sync_folder(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """A new file and its bytes; its name is not synced. Raises FileExistsError where there is one already."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes) -> None:
    """The old bytes or the new ones, whatever happens. Raises OSError, and leaves nothing beside the old ones then."""
    beside = beside_of(path)
    beside.unlink(missing_ok=True)
    try:
        write_file(beside, data)
        rename(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def point(link: Path, target: str | None) -> None:
    """Let a symbolic link name ``target``, a name in its own folder; None takes it away."""
    if target is None:
        link.unlink(missing_ok=True)
        sync_folder(link.parent)
        return
    beside = beside_of(link)
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    rename(beside, link)


def rename(old: Path, new: Path) -> None:
    """Within one folder, or to one nearby; what ``new`` was is gone."""
    old.rename(new)
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def remove_folder(path: Path) -> None:
    """It loses its name first: half of a folder is never taken for a whole one."""
    beside = beside_of(path)
    shutil.rmtree(beside, ignore_errors=True)
    rename(path, beside)
    shutil.rmtree(beside)


def sync_folder(path: Path) -> None:
    """The names in it, as they are now."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(path: Path) -> None:
    """The names in a folder and in all below it, the deepest first."""
    for folder, _, _ in os.walk(path, topdown=False):
        sync_folder(Path(folder))


def beside_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{BESIDE}")
