"""Who signed a bundle, as ``ssh-keygen`` tells it (OpenSSH's PROTOCOL.sshsig).

``allowed_signers`` in the configuration folder says who may; once it is there, what is not signed is refused. The
signature is over bundle.json, which holds the hashes of all the rest. It carries no time, and a board may have none:
nothing here depends on the clock unless a line of that file has ``valid-after`` or ``valid-before``.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.bundle import MANIFEST, SIGNATURE
from edge.errors import DataError, Refused, Unavailable
from edge.places import config_dir

NAMESPACE: Final = "mask-edge-bundle"
ALLOWED: Final = "allowed_signers"
LIMIT_S: Final = 20.0
MAX_SIGNATURE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Signed:
    """state: ``good`` by ``signer``; ``unsigned``; ``unchecked``, where nobody said here who may sign."""

    state: str
    signer: str = ""

    def in_words(self) -> str:
        words = {"good": f"signed by {self.signer}", "unchecked": "signature not checked"}
        return words.get(self.state, self.state)


def allowed_signers() -> Path | None:
    """The list, None where this machine has none. Raises Refused where this user may not know, DataError for a link
    that leads nowhere: whoever made it wants signatures."""
    path = config_dir() / ALLOWED
    try:
        with path.open("rb"):
            return path
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise DataError(f"{path} is a link that leads nowhere, so nobody may sign", "mend or remove it") from error
        return None
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder", "it must be a file of allowed signers (docs/deploy.md)") from error
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user", "run this as root or as the daemon's user") from error


def check_signature(bundle: Path) -> Signed:
    """Raises DataError where the bundle is not signed as this machine wants it, Unavailable without ssh-keygen."""
    allowed, signature = allowed_signers(), bundle / SIGNATURE
    if allowed is None:
        return Signed("unchecked" if signature.is_file() else "unsigned")
    if not signature.is_file():
        raise DataError(f"bundle {bundle} is not signed, and {allowed} wants it to be", "sign it (docs/deploy.md)")
    if signature.is_symlink() or signature.stat().st_size > MAX_SIGNATURE_BYTES:
        raise DataError(f"bundle {bundle}: {SIGNATURE} is a link or too large", "sign it again")
    manifest = (bundle / MANIFEST).read_bytes()
    listed = ssh_keygen("find-principals", "-s", signature, "-f", allowed, data=b"")
    signers = listed.stdout.decode(errors="replace").splitlines()
    if listed.returncode or not signers:
        raise refused(bundle, allowed, listed)
    signer = signers[0].strip()
    done = ssh_keygen("verify", "-f", allowed, "-I", signer, "-n", NAMESPACE, "-s", signature, data=manifest)
    if done.returncode:
        raise refused(bundle, allowed, done)
    return Signed("good", signer)


def ssh_keygen(verb: str, *argv: str | Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", verb, *map(str, argv)]
    try:
        return subprocess.run(command, input=data, capture_output=True, timeout=LIMIT_S, check=False)
    except FileNotFoundError as error:
        raise Unavailable("ssh-keygen is not here, and signatures need it", "apt install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"ssh-keygen gave no answer within {LIMIT_S:g} s", "try again") from error


def refused(bundle: Path, allowed: Path, done: subprocess.CompletedProcess[bytes]) -> DataError:
    said = (done.stderr or done.stdout).decode(errors="replace").split("\n")
    why = "; ".join(line.strip() for line in said if line.strip()) or "no line of it fits"
    return DataError(
        f"bundle {bundle}: its signature is not one of {allowed} ({why})", "sign it with a key that is listed"
    )
