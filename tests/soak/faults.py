"""What happens to a door in the course of time: some of it at the broker's end, some at the camera's."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge.sources.scripted import MAX_COUNT
from tests.soak.door import Door

NOTICED_S: Final = 180.0  # the outbox has a page or two to spare, a camera may be away for a minute


@dataclass(frozen=True, slots=True)
class Due:
    """A fault, and the frame at which it strikes."""

    frame: int
    kind: str


def broker_killed(door: Door, draw: random.Random, longest_s: float) -> None:
    door.broker.kill()
    time.sleep(draw.uniform(1, longest_s / 2))
    door.broker.start()


def broker_frozen(door: Door, draw: random.Random, longest_s: float) -> None:
    door.broker.freeze()
    time.sleep(draw.uniform(1, longest_s))
    door.broker.thaw()


def subscriber_away(door: Door, draw: random.Random, longest_s: float) -> None:
    door.listener.stop()
    time.sleep(draw.uniform(1, longest_s / 2))
    door.listener.start()


def disk_full(door: Door, draw: random.Random, longest_s: float) -> None:
    """Not a byte is left in the state folder. The broker is away meanwhile: an outbox that need not grow needs none."""
    door.broker.kill()
    filler = door.disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    door.await_word("wait in memory only", NOTICED_S)
    time.sleep(draw.uniform(1, longest_s / 4))
    filler.unlink()
    door.await_word("the disk takes events again", NOTICED_S)
    door.broker.start()


def reloaded(door: Door, draw: random.Random, longest_s: float) -> None:
    """First to what cannot be used, then to something else than before; so often that the room for two models side by
    side, which the allocator keeps, is there from the first time on (it grows over nine reloads, then no more)."""
    _reload(door, door.misconfigure, "reload: refused")
    for change_s in (0.5, 1.0, 2.0) * 4:
        _reload(door, partial(door.configure, change_s=change_s), "reload: done")


def _reload(door: Door, write: Callable[[], None], answer: str) -> None:
    write()
    door.hang_up()
    door.await_word(answer, NOTICED_S)


OUTSIDE: Final[dict[str, Callable[[Door, random.Random, float], None]]] = {
    "broker killed, started again": broker_killed,
    "broker frozen": broker_frozen,
    "subscriber away": subscriber_away,
    "state folder full, broker away": disk_full,
    "reload, refused and done": reloaded,
}
CAMERA: Final[dict[str, tuple[str, ...]]] = {  # by what the script of the camera says
    "camera broken off, absent once": ("do = 'exception'", "do = 'absent'\ncount = 1"),
    "camera broken off": ("do = 'exception'",),
    "pictures of 0 x 0, of another size": (
        "do = 'empty'\ncount = 40",
        "do = 'size'\ncount = 20\nwidth = 64\nheight = 48",
    ),
    "lens covered, picture frozen": ("do = 'black'\ncount = 60", "do = 'repeats'\ncount = 120"),
}


def kinds_of(*, can_fill_disk: bool) -> list[str]:
    return [kind for kind in (*OUTSIDE, *CAMERA) if can_fill_disk or OUTSIDE.get(kind) is not disk_full]


def drawn(frames: int, every: int, seed: int, kinds: list[str]) -> list[Due]:
    """A fault every so many frames; none comes again before all others came. The last stretch stays free."""
    draw = random.Random(seed)
    deck: list[str] = []
    due = []
    for frame in range(every, frames - every // 2, every):
        if not deck:
            deck = draw.sample(kinds, len(kinds))
        due.append(Due(frame, deck.pop()))
    return due


def script(frames: int, dues: list[Due], video: str) -> str:
    """The camera's part of it. video: relative to the script."""
    steps, at = [], 0
    for due in dues:
        if due.kind in CAMERA:
            steps += [f"do = 'frames'\ncount = {due.frame - at}", *CAMERA[due.kind]]
            at = due.frame
    while at < frames:
        steps.append(f"do = 'frames'\ncount = {min(MAX_COUNT, frames - at)}")
        at += MAX_COUNT
    return "\n".join([f"fps = 10\nframes = '{video}'", *(f"[[step]]\n{step}" for step in steps)]) + "\n"
