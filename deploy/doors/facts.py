"""What a machine is, before anything is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deploy.doors.ssh import Connection, last_line
from edge.errors import Unavailable

LOOK: Final = r"""
. /etc/os-release
echo "system=$PRETTY_NAME"
echo "version=$ID/$VERSION_ID"
echo "architecture=$(dpkg --print-architecture)"
[ -e /etc/rpi-issue ] && echo "is_pi=yes"
[ -d /run/systemd/system ] && echo "has_systemd=yes"
[ -e /etc/mask-edge/config.toml ] && echo "has_config=yes"
echo "host=$(cat /proc/sys/kernel/hostname)"
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """version: Debian's, ``12``. architecture: dpkg's, ``arm64``; on a Raspberry Pi the kernel may say another.
    is_pi: Raspberry Pi OS, which alone has picamera2. has_config: somebody has set this door up before."""

    system: str
    version: str
    architecture: str
    host: str
    is_pi: bool
    has_config: bool


def look(door: Connection) -> Facts:
    """Raises Unavailable where this is no Debian with systemd at work."""
    done = door.run(LOOK)
    found = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    name = door.target.name
    if not found.get("architecture"):
        raise Unavailable(f"{name} is no Debian ({found.get('system') or last_line(done)}): install Debian 12 on it")
    if "has_systemd" not in found:
        raise Unavailable(f"{name} was not started by systemd: install there by hand (docs/operate.md)")
    distribution, _, version = found["version"].partition("/")
    if distribution not in ("debian", "raspbian"):
        raise Unavailable(
            f"{name} runs {found['system']}: a door needs Debian 12 or 13, or Raspberry Pi OS of that age"
        )
    return Facts(
        system=found["system"],
        version=version,
        architecture=found["architecture"],
        host=found["host"],
        is_pi="is_pi" in found,
        has_config="has_config" in found,
    )
