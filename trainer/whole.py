"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.errors import DiskError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside and rename, so that a cut or a full disk leaves the old file whole."""
    beside = path.with_name(f"new.{path.name}")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DiskError(f"cannot write {path}: {error.strerror or error}") from error
