"""Names on the broker. One base topic per device; what is below it is the contract's."""

from __future__ import annotations

import re
from typing import Final

from edge.errors import ConfigError

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
HOME_ASSISTANT_STATUS: Final = "homeassistant/status"  # its birth and will; the only topic that we subscribe to

_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_BASE_MAX_BYTES: Final = 256  # brokers allow 65,535; what is longer is a mistake
_ROOTS_TAKEN: Final = {"homeassistant": "Home Assistant's own topics", "mask-edge-private": "pictures only"}
_SHOWN: Final = 300  # characters of a wrong name in a message
_BASE_FORBIDDEN: Final = frozenset("+#\0\n\r\t")


def check_name(key: str, name: str) -> str:
    """The name itself, where it may stand in topics and ids: 1 to 64 of a-z 0-9 _ -.

    key: what the name is for, as the user knows it (``device``, ``camera``). Raises ConfigError.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{key} must be 1 to 64 characters of a-z 0-9 _ -, is {name[:_SHOWN]!r}", "choose another name"
        )
    return name


def check_base(base: str) -> str:
    """The base topic itself; raises ConfigError where a broker or a dashboard would stumble over it."""
    bad = _BASE_FORBIDDEN & set(base) or base.startswith(("/", "$")) or base.endswith("/")
    root = base.partition("/")[0]
    if root in _ROOTS_TAKEN:
        raise ConfigError(
            f"mqtt.base_topic {base[:_SHOWN]!r} cannot be used: {root}/ is for {_ROOTS_TAKEN[root]}", "choose another"
        )
    if bad or not 1 <= len(base.encode()) <= _BASE_MAX_BYTES:
        raise ConfigError(
            f"mqtt.base_topic {base[:_SHOWN]!r} cannot be used",
            f"write 1 to {_BASE_MAX_BYTES} bytes without + # or line breaks, "
            "not beginning with / or $, not ending with /",
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


def state_topic(base: str) -> str:
    return f"{base}/state"


def health_topic(base: str) -> str:
    return f"{base}/health"


def snapshot_topic(device: str) -> str:
    """A root of its own, whatever the base topic is: who may read ``mask-edge/#`` gets no picture."""
    return f"mask-edge-private/{device}/snapshot"


def discovery_topic(device: str) -> str:
    """https://www.home-assistant.io/integrations/mqtt/#discovery-topic"""
    return f"homeassistant/device/mask-edge-{device}/config"
