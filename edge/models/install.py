"""Verify a bundle and bring it to this machine's models folder; nothing of it takes effect here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge.bundle import MANIFEST, SIGNATURE, load_bundle, read_manifest_bytes, verify_bundle
from edge.durable import make_folder, write_file
from edge.errors import DataError, EdgeError, Refused
from edge.models.selftest import self_test
from edge.models.signing import Signed, check_signature
from edge.models.store import KEEP, Store, is_whole, tag_of
from edge.models.unpack import REMEDY, unpack

Tester = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Verified:
    """tag: NAME@SHA12. said: the self-test's own line."""

    tag: str
    signed: Signed
    said: str


def verify(bundle: Path, test: Tester = self_test) -> Verified:
    """Everything that speaks against a bundle on this machine: names, sizes, hashes, task, labels, tensors, signature,
    then the golden inputs. Raises EdgeError with the first of it."""
    loaded = load_bundle(bundle)
    signed = check_signature(bundle)
    return Verified(loaded.tag, signed, test(bundle))


def install(source: Path | IO[bytes], store: Store, keep: int = KEEP, test: Tester = self_test) -> str:
    """Copy a bundle folder, or one that comes as a tar stream, into the store; its tag.

    A bundle that is here already is left as it is. Raises Busy while another command is at it, DiskError without room.
    """
    with store.changing():
        store.settle()
        if isinstance(source, Path):
            tag = readable(source)
            if is_here(source, store, tag):
                return tag
        with staged(store, source if isinstance(source, Path) else Path("-")) as staging:
            if isinstance(source, Path):
                copy(source, staging, store)
            else:
                unpack(source, staging, store.need)
                if not (staging / MANIFEST).is_file():
                    raise DataError(f"the tar stream holds no {MANIFEST} at its top: cut off, or one folder up", REMEDY)
            tag = verify(staging, test).tag
            store.admit(staging, tag)
        store.prune(keep, tag)
        return tag


def readable(source: Path) -> str:
    """The tag of a bundle whose files are as listed. Raises Refused with the way around: root's own home, mostly."""
    try:
        return verify_bundle(source)[1]
    except PermissionError as error:
        raise Refused(
            f"{source} may not be read by the user that models are installed as",
            f"use 'tar -C {source} -c . | edge model install -'",
        ) from error


def is_here(source: Path, store: Store, tag: str) -> bool:
    """The same bundle, whole, and with a signature that counts here and is no older than the one offered."""
    here = store.path(tag)
    if not is_whole(here, tag):
        return False
    offered = source / SIGNATURE
    if offered.is_file() and (
        not (here / SIGNATURE).is_file() or offered.read_bytes() != (here / SIGNATURE).read_bytes()
    ):
        return False
    check_signature(here)
    return True


@contextmanager
def staged(store: Store, source: Path) -> Iterator[Path]:
    """A folder to put a bundle in; gone at the end. Errors name the source, not the folder."""
    staging = store.stage()
    try:
        yield staging
    except EdgeError as error:
        said = [text.replace(str(staging), str(source)) for text in (error.what, error.remedy)]
        raise type(error)(*said) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def copy(source: Path, staging: Path, store: Store) -> None:
    """The listed files, as the very bytes that were checked; and the signature."""
    _, tag, files = verify_bundle(source)
    manifest = read_manifest_bytes(source)
    files[MANIFEST] = manifest
    if (source / SIGNATURE).is_file():
        files[SIGNATURE] = (source / SIGNATURE).read_bytes()
    store.need(sum(map(len, files.values())))
    for name, data in files.items():
        for folder in reversed((staging / name).relative_to(staging).parents[:-1]):
            make_folder(staging / folder)
        write_file(staging / name, data)
    if tag_of(staging) != tag:
        raise DataError(f"bundle {source} changed while it was copied", "install it again")
