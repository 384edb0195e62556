"""What one door is told: from the command line, else from the inventory."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Final

from deploy.doors.wheels import FILES
from edge.config import Config, examine_config
from edge.errors import ConfigError, DataError, InputMissing, UsageError
from edge.sinks.mqtt_address import Address, parse_address

NAMES: Final = ("device", "camera", "broker", "ca_file", "password_file", "template", "deploy_key")
CA_FILE: Final = "/etc/mask-edge/ca.pem"
PUBLIC_KEY: Final = re.compile(rb"(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/]{32,}")


@dataclass(frozen=True, slots=True)
class Settings:
    """device, camera, broker: as in the configuration; empty where nothing was said. ca, deploy_keys: contents.
    password: for the broker, one line; in no repr."""

    device: str = ""
    camera: str = ""
    broker: str = ""
    template: str = ""
    ca: bytes = b""
    deploy_keys: bytes = b""
    password: bytes = field(default=b"", repr=False)

    def config(self, host: str, name: str) -> bytes:
        """The configuration file, checked by the daemon's own reader. host: the door's own name, where it is told no
        other. Raises ConfigError, UsageError."""
        for key in ("camera", "broker"):
            if not getattr(self, key):
                raise UsageError(f"{name} has no configuration yet, and no {key} was named: give --{key}, or "
                                 f"mask_edge_{key} in the inventory")  # fmt: skip
        device = self.device or host.lower()
        values = {"device": device, "camera": self.camera, "broker": self.broker, "ca_file": CA_FILE if self.ca else ""}
        try:
            text = Template(self.template).substitute(
                {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
            )
            config, findings = examine_config(tomllib.loads(text))
        except (KeyError, ValueError) as error:  # also what tomllib raises
            raise ConfigError(f"the template for {name} does not make a configuration ({error}): correct it") from error
        if findings:
            raise ConfigError(f"the configuration of {name}: {'; '.join(str(finding.error) for finding in findings)}")
        self._refuse_plain_password(config, parse_address(self.broker), name)
        return text.encode()

    def _refuse_plain_password(self, config: Config, broker: Address, name: str) -> None:
        """What the daemon would refuse at the door is said here."""
        is_safe = broker.is_tls or broker.is_loopback or config.mqtt.allow_plaintext_password
        if self.password and not is_safe:
            raise ConfigError(
                f"{name}: its password would cross the network in the clear to {broker}: use mqtts:// and "
                "--ca-file, or set mqtt.allow_plaintext_password in a --template"
            )


def settings(given: dict[str, str], password: bytes, folder: Path) -> Settings:
    """Read the files that are named. given: by the names of NAMES. folder: where relative paths begin.

    Raises InputMissing, DataError.
    """
    key_file = given.get("password_file")
    secret = password or (first_line(read(folder, key_file, "password file")) if key_file else b"")
    keys = read(folder, given["deploy_key"], "deploy key") if "deploy_key" in given else b""
    if b"PRIVATE KEY" in keys:
        raise DataError(f"{given['deploy_key']} is a private key: give the file that ends in .pub")
    if "deploy_key" in given and not any(PUBLIC_KEY.match(line) for line in keys.splitlines()):
        raise DataError(f"{given['deploy_key']} holds no public key: give the file that ends in .pub")
    template = given.get("template")
    return Settings(
        device=given.get("device", ""),
        camera=given.get("camera", ""),
        broker=given.get("broker", ""),
        template=(read(folder, template, "template") if template else (FILES / "config.toml").read_bytes()).decode(),
        ca=read(folder, given["ca_file"], "CA file") if "ca_file" in given else b"",
        deploy_keys=keys,
        password=secret,
    )


def read(folder: Path, name: str, what: str) -> bytes:
    try:
        return (folder / Path(name).expanduser()).read_bytes()
    except OSError as error:
        raise InputMissing(f"{what} {name} cannot be read ({error.strerror}): name another") from error


def first_line(secret: bytes) -> bytes:
    line = secret.splitlines()[0] if secret.strip() else b""
    if not line:
        raise DataError("the password file is empty: write the password on its first line")
    return line + b"\n"
