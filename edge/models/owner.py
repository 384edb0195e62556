"""Whose models these are: root does its work here as the user that the daemon runs as."""

from __future__ import annotations

import os
from pathlib import Path


def act_as_owner(folder: Path) -> None:
    """From now on this process is the owner of ``folder``, if it is root and the folder is somebody else's.

    What root left in there the daemon could not undo; and a stranger's bundle is better not opened as root.
    """
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    owner = there.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    os.setgroups([owner.st_gid])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
