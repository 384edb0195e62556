"""A bundle as it travels: tried on the workstation, signed if so wished, packed as the tar stream that a door takes."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.bundle import MANIFEST, SIGNATURE, load_bundle, read_manifest_bytes, verify_bundle
from edge.durable import replace_file
from edge.errors import DataError, InputMissing, Refused, Unavailable
from edge.models.selftest import self_test
from edge.models.signing import NAMESPACE

MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Parcel:
    """tag: NAME@SHA12. stream: the tar stream. is_signed: a signature is in it."""

    tag: str
    stream: bytes
    is_signed: bool


def parcel(bundle: Path) -> Parcel:
    """Raises EdgeError where the bundle could not serve a door: hashes, task, labels, tensors, golden inputs."""
    load_bundle(bundle)
    self_test(bundle)
    _, tag, files = verify_bundle(bundle)
    files[MANIFEST] = read_manifest_bytes(bundle)
    signature = bundle / SIGNATURE
    if signature.is_file():
        files[SIGNATURE] = signature.read_bytes()
    return Parcel(tag, packed(files), signature.is_file())


def packed(files: dict[str, bytes]) -> bytes:
    """The same files give the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), MODE
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def sign(bundle: Path, key: Path) -> None:
    """Write ``bundle.json.sig``, by ``ssh-keygen -Y sign``: the key, or the agent that holds it, stays here.

    key: a private key, or the public half of one that the agent has. Raises EdgeError.
    """
    manifest = read_manifest_bytes(bundle)
    if not key.is_file():
        raise InputMissing(f"no key at {key}", "name a private key, or the public one of a key in the agent")
    argv = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE]
    try:
        done = subprocess.run(argv, input=manifest, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable("ssh-keygen is not here, and signatures need it: apt install openssh-client") from error
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise Refused(f"{key} does not sign ({said[-1]}): name a private key, or the public one of a key in the agent")
    try:
        replace_file(bundle / SIGNATURE, done.stdout)
    except OSError as error:
        raise DataError(
            f"{bundle / SIGNATURE} cannot be written ({error.strerror}): sign a copy of the bundle"
        ) from error
