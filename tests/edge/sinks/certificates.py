"""A small authority made on the spot by openssl, for TLS between a test's broker and sink."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_authority(folder: Path, name: str = "ca") -> Path:
    """``NAME.crt`` and ``NAME.key``; returns the certificate."""
    key, crt = folder / f"{name}.key", folder / f"{name}.crt"
    _openssl("req", "-x509", *_NEW_KEY, "-keyout", str(key), "-out", str(crt), "-days", "1", "-subj", f"/CN={name}")
    return crt


def make_certificate(
    folder: Path, name: str, host: str, authority: str = "ca", from_to: tuple[str, str] | None = None
) -> tuple[Path, Path]:
    """Certificate and key for ``host`` (``IP:127.0.0.1``, ``DNS:door``), signed by the authority.

    from_to: when it is valid, YYYYMMDD each; None is from now on for a day.
    """
    key, csr, crt, extra = (folder / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
    extra.write_text(f"subjectAltName={host}\n")
    _openssl("req", *_NEW_KEY, "-keyout", str(key), "-out", str(csr), "-subj", f"/CN={name}")
    signer = ("-CA", f"{folder}/{authority}.crt", "-CAkey", f"{folder}/{authority}.key", "-CAcreateserial")
    if from_to is None:
        _openssl("x509", "-req", "-in", str(csr), "-out", str(crt), "-days", "1", *signer, "-extfile", str(extra))
    else:
        _sign_for(folder, name, authority, from_to)
    return crt, key


def _sign_for(folder: Path, name: str, authority: str, from_to: tuple[str, str]) -> None:
    """``openssl x509`` knows no beginning but now; ``openssl ca`` does, and wants a configuration and a register."""
    (folder / "register").write_text("")
    config = folder / "ca.conf"
    config.write_text(_CA_CONFIG.format(folder=folder))
    start, end = (f"{day}000000Z" for day in from_to)
    signer = ("-cert", f"{folder}/{authority}.crt", "-keyfile", f"{folder}/{authority}.key", "-rand_serial")
    files = ("-in", f"{folder}/{name}.csr", "-out", f"{folder}/{name}.crt", "-extfile", f"{folder}/{name}.ext")
    _openssl("ca", "-batch", "-notext", "-config", str(config), "-startdate", start, "-enddate", end, *signer, *files)


_CA_CONFIG = """\
[ca]
default_ca = only
[only]
database = {folder}/register
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def lock_key(key: Path, phrase: str) -> Path:
    """The same key in another file, behind a pass phrase."""
    locked = key.with_suffix(".locked")
    _openssl("pkcs8", "-topk8", "-in", str(key), "-out", str(locked), "-passout", f"pass:{phrase}")
    return locked


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)
