"""Which broker, and by what right: address, password and TLS from what the user wrote. Nothing here is ever logged."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from edge.errors import ConfigError
from edge.passwords import read_password
from edge.sinks.settings import MqttSettings

CREDENTIAL: Final = "mqtt_password"  # the name in the unit's LoadCredential=
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_HOST_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/?#@\[\]]+)(:(?P<port>\d{1,5}))?/?")
_FORM: Final = "use mqtt://[user@]host[:port] or mqtts://[user@]host[:port]"


@dataclass(frozen=True, slots=True)
class Address:
    """A broker. user: None where nobody logs in. Holds no password, so it may be shown."""

    host: str
    port: int
    user: str | None
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"mqtt{'s' if self.is_tls else ''}://{user}{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Never leaves this machine."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(spec: str) -> Address:
    """The broker in ``mqtt://[user@]host[:port]``. Raises ConfigError, which never repeats what may be a password."""
    scheme = spec.split(":", 1)[0]
    rest = spec.removeprefix(f"{scheme}://")
    scheme = scheme.lower()
    userinfo, at, host_port = rest.rpartition("@")
    if ":" in userinfo:
        raise ConfigError(
            f"the address in sink {scheme}://... holds a password",
            "put the password into a file, name that in "
            f"mqtt.password_file (or give it as systemd credential {CREDENTIAL}), and write {scheme}://user@host",
        )
    if "/" in host_port.rstrip("/"):
        raise ConfigError(f"sink {scheme}://... holds a path", "topics are set by mqtt.base_topic, not in the address")
    found = _HOST_PORT.fullmatch(host_port)
    if scheme not in _PORTS or not found or (at and not userinfo):
        raise ConfigError(f"cannot read the broker's address in sink {scheme}://...", _FORM)
    port = int(found["port"] or _PORTS[scheme])
    if not 1 <= port <= 65_535:
        raise ConfigError(f"port {port} in sink {scheme}://... does not exist", "use 1 to 65535")
    return Address(found["host"].strip("[]"), port, unquote(userinfo) or None, scheme == "mqtts")


def find_password(address: Address, settings: MqttSettings) -> str | None:
    """The password for ``address.user``; None where there is none to be used.

    Raises ConfigError where it cannot be read, or would travel readable to another machine.
    """
    path = _password_path(address, settings)
    if path is None:
        return None
    if not (address.is_tls or address.is_loopback or settings.allow_plaintext_password):
        raise ConfigError(
            f"the password would travel unencrypted to {address}", "use mqtts://, or set mqtt.allow_plaintext_password"
        )
    return read_password(path, "mqtt.password_file" if settings.password_file else f"systemd credential {CREDENTIAL}")


def _password_path(address: Address, settings: MqttSettings) -> Path | None:
    if settings.password_file is not None:
        if address.user is None:
            raise ConfigError(
                f"mqtt.password_file is set but {address} names no user", "write it before the host, mqtt://user@host"
            )
        return settings.password_file
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None or address.user is None:
        return None
    credential = Path(folder) / CREDENTIAL
    return credential if credential.is_file() else None


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """TLS 1.2 or later, the broker's certificate and host name checked. Raises ConfigError that names the bad file."""
    context = _trusting(settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Debian's Python leaves the lowest to OpenSSL's configuration
    if settings.cert_file is None:
        if settings.key_file is not None:
            raise ConfigError("mqtt.key_file is set without mqtt.cert_file", "name the certificate of that key")
        return context
    try:
        # A key with a pass phrase would make OpenSSL ask for it on the terminal; a daemon has none.
        context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: b"")
    except (OSError, ValueError) as err:
        files = f"mqtt.cert_file {settings.cert_file}, mqtt.key_file {settings.key_file}"
        raise ConfigError(f"cannot use {files}: {_said(err)}", "give a PEM pair without a pass phrase") from None
    return context


def refuse_unused_tls(address: Address, settings: MqttSettings) -> None:
    """Who names certificates means TLS. Raises ConfigError where the address does without."""
    files = {"ca_file": settings.ca_file, "cert_file": settings.cert_file, "key_file": settings.key_file}
    named = [f"mqtt.{key}" for key, path in files.items() if path is not None]
    if named and not address.is_tls:
        are = f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'}"
        raise ConfigError(
            f"{are} set, but {address} does without TLS", "write mqtts:// (port 8883), or leave these keys empty"
        )


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as err:
        raise ConfigError(f"cannot use mqtt.ca_file {ca_file}: {_said(err)}", "give a PEM file") from None


def _said(err: Exception) -> str:
    if isinstance(err, ssl.SSLError):
        return (err.reason or "not a PEM file").replace("_", " ").lower()
    return err.strerror if isinstance(err, OSError) and err.strerror else str(err)
