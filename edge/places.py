"""Where things are on this machine; nothing is created here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edge.errors import InputMissing

PACKAGE: Final = Path(__file__).resolve().parent
SYSTEM_STATE: Final = Path("/var/lib/mask-edge")
SYSTEM_RUNTIME: Final = Path("/run/mask-edge")
SYSTEM_CONFIG: Final = Path("/etc/mask-edge/config.toml")
SHIPPED_BUNDLE: Final = "mask-mnv2"


def checkout() -> Path | None:
    """The source tree this package runs from, or None where it is installed."""
    root = PACKAGE.parent
    return root if (root / "models" / "third_party.toml").is_file() else None


def shipped_models() -> Path:
    """The folder with the bundle and the list of third-party files that came with this version."""
    root = checkout()
    return root / "models" if root else PACKAGE / "_models"


def state_dir() -> Path:
    """systemd's state folder where it is set, the system's where it may be written, else the user's (XDG)."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.access(SYSTEM_STATE, os.W_OK):
        return SYSTEM_STATE
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "mask-edge"


def runtime_dir() -> Path | None:
    """systemd's runtime folder where it is set, the system's where it may be written, else the user's (XDG); None where
    there is none: /tmp is anybody's."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.access(SYSTEM_RUNTIME, os.W_OK):
        return SYSTEM_RUNTIME
    home = os.environ.get("XDG_RUNTIME_DIR")
    return Path(home) / "mask-edge" if home else None


def config_dir() -> Path:
    """systemd's configuration folder where it is set, else the system's."""
    given = os.environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0]
    return Path(given) if given else SYSTEM_CONFIG.parent


def third_party_dirs() -> tuple[Path, ...]:
    """Where fetched model files are looked for; the first is where they are put."""
    root = checkout()
    local = (root / "models" / "third_party",) if root else ()
    system = () if state_dir() == SYSTEM_STATE else (SYSTEM_STATE / "third_party",)
    return (*local, state_dir() / "third_party", *system)


def default_bundle() -> Path:
    """The active model of this machine, else the one that came with this version.

    Raises InputMissing where a model was made active and is gone: another must not take its place unnoticed.
    """
    active = state_dir() / "models" / "active"
    if active.exists():
        return active
    if active.is_symlink():
        raise InputMissing(
            f"{active} points to {active.readlink()}, which is not there",
            "put that bundle back, or remove the link to use the model that came with this version",
        )
    return shipped_models() / SHIPPED_BUNDLE
