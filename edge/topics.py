"""Names on the broker. One base topic per device; what is below it is the contract's."""

from __future__ import annotations

import re
from typing import Final

from edge.errors import ConfigError

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_BASE_MAX_BYTES: Final = 256  # brokers allow 65,535; what is longer is a mistake
_BASE_FORBIDDEN: Final = frozenset("+#\0\n\r\t")


def check_name(key: str, name: str) -> str:
    """The name itself, where it may stand in topics and ids: 1 to 64 of a-z 0-9 _ -.

    key: what the name is for, as the user knows it (``device``, ``camera``). Raises ConfigError.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{key} must be 1 to 64 characters of a-z 0-9 _ -, is {name!r}: choose another name")
    return name


def check_base(base: str) -> str:
    """The base topic itself; raises ConfigError where a broker or a dashboard would stumble over it."""
    bad = _BASE_FORBIDDEN & set(base) or base.startswith(("/", "$")) or base.endswith("/")
    if bad or not 1 <= len(base.encode()) <= _BASE_MAX_BYTES:
        raise ConfigError(
            f"mqtt.base_topic {base!r} cannot be used: write 1 to {_BASE_MAX_BYTES} bytes without + # or line breaks, "
            "not beginning with / or $, not ending with /"
        )
    return base


def default_base(device: str) -> str:
    return f"mask-edge/{device}"


def event_topic(base: str) -> str:
    return f"{base}/event"


def availability_topic(base: str) -> str:
    return f"{base}/availability"


def info_topic(base: str) -> str:
    return f"{base}/info"


def health_topic(base: str) -> str:
    return f"{base}/health"
