"""Which faces are held out: whole groups, stratified by source and class, seeded."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow


def _by(rows: Sequence[FaceRow], field: str) -> dict[str, list[FaceRow]]:
    found: dict[str, list[FaceRow]] = defaultdict(list)
    for row in rows:
        found[getattr(row, field)].append(row)
    return found


def hold_out(rows: Sequence[FaceRow], sources: Collection[str], share: float, seed: int) -> list[FaceRow]:
    """Deal whole groups to ``held_out`` until each (source, label) has about ``share`` of its faces there.

    Only groups all of whose faces come from ``sources`` may be held out. The rarest class is dealt first, because a
    group of several classes settles them together.
    """
    groups = _by(rows, "group")
    may = sorted(g for g, own in groups.items() if all(r.source in sources for r in own))
    random.Random(seed).shuffle(may)
    goal = Counter((r.source, r.label) for r in rows if r.source in sources)
    due = {key: share * count for key, count in goal.items()}
    held: set[str] = set()
    for key in sorted(due, key=lambda k: goal[k]):
        for group in may:
            own = Counter((r.source, r.label) for r in groups[group])
            if group in held or not own[key] or due[key] < own[key] / 2:
                continue
            held.add(group)
            for each, count in own.items():
                due[each] -= count
    return [replace(r, split=HELD_OUT if r.group in held else TRAIN) for r in rows]
