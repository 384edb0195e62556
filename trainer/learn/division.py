"""Which faces of a prepared set are trained on, and which judge every epoch.

Best judges are sources that training never saw: a held-out group of a known source still shares its camera, its framing
and its makers' habits, and a score on it says little about the next door.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import DataError, UsageError
from edge.records import MASK, NO_MASK
from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow, read_manifest, refuse_straddling
from trainer.learn.runs import Division

AUTO: Final = "auto"
NONE: Final = "none"
FEWEST: Final = 100  # faces of each class that an unseen source must have; fewer choose an epoch by luck
SOURCES_LEFT: Final = 3  # sources with both classes that there must be before one is spared for judging


@dataclass(frozen=True, slots=True)
class Parts:
    """Faces to train on, faces that judge each epoch, and the record of both."""

    training: list[FaceRow]
    judging: list[FaceRow]
    division: Division


def divide(
    rows: Sequence[FaceRow], unseen: Sequence[str], leave_out: Sequence[str], *, may_select: bool = True
) -> Parts:
    """Raises UsageError where the named sources cannot do what is asked, DataError where one class is left to train on.

    may_select: whether the recipe picks its best epoch; one that does not spares no source by itself.
    """
    asked = _named(unseen)
    _refuse_unknown(rows, [*asked, *leave_out])
    _refuse_left_out_judges(asked, leave_out)
    taking_part = [r for r in rows if r.source not in leave_out]
    spared = asked or (_spare(taking_part) if AUTO in unseen and may_select else ())
    strange = {r.group for r in rows if r.source in (*spared, *leave_out)}
    known = [r for r in taking_part if r.source not in spared]
    may_train = [r for r in known if r.split == TRAIN]
    training = [r for r in may_train if r.group not in strange]
    judging = [r for r in taking_part if r.source in spared] or [r for r in known if r.split == HELD_OUT]
    _refuse_one_class(training)
    can_judge = _has_both(judging)
    if asked and not can_judge:
        raise UsageError(f"{', '.join(asked)} cannot judge: both mask and no_mask are needed; name more with --unseen")
    judged_on = "unseen" if spared else "held_out" if judging else "nothing"
    division = Division(
        trained=len(training),
        judged=len(judging),
        judged_on=judged_on,
        selecting=can_judge and may_select and NONE not in unseen,
        unseen=spared,
        leave_out=tuple(leave_out),
        kin=len(may_train) - len(training),
    )
    return Parts(training, judging, division)


def divided(data: Path, unseen: Sequence[str], leave_out: Sequence[str], *, may_select: bool = True) -> Parts:
    """The parts of a prepared set; one in which a group straddles the split is refused."""
    rows = read_manifest(data)
    refuse_straddling(rows)
    return divide(rows, unseen, leave_out, may_select=may_select)


def held_out_of(rows: Sequence[FaceRow], leave_out: Sequence[str]) -> list[FaceRow]:
    """The held-out faces that may judge a run: none of a source that was left out, nor of a person or scene there."""
    strange = {r.group for r in rows if r.source in leave_out}
    return [r for r in rows if r.split == HELD_OUT and r.group not in strange]


def _named(unseen: Sequence[str]) -> tuple[str, ...]:
    """The sources of ``--unseen``, none twice; ``auto`` and ``none`` stand alone."""
    words = tuple(dict.fromkeys(unseen))
    for word in (AUTO, NONE):
        if word in words and len(words) > 1:
            raise UsageError(f"--unseen {word} cannot be given with other sources: leave it away, or the others")
    return () if words in ((AUTO,), (NONE,)) else words


def _refuse_left_out_judges(asked: Sequence[str], leave_out: Sequence[str]) -> None:
    both = sorted({*asked} & {*leave_out})
    if both:
        raise UsageError(f"{', '.join(both)} cannot be both --unseen (judges) and --leave-out (takes no part)")


def _spare(rows: Sequence[FaceRow]) -> tuple[str, ...]:
    """The smallest source that has enough faces of both classes, where enough such sources stay."""
    counts = Counter((r.source, r.label) for r in rows)
    sources = {r.source for r in rows}
    both = [s for s in sources if counts[s, MASK] and counts[s, NO_MASK]]
    fit = [s for s in both if min(counts[s, MASK], counts[s, NO_MASK]) >= FEWEST]
    if len(both) < SOURCES_LEFT or not fit:
        return ()
    return (min(fit, key=lambda s: (counts[s, MASK] + counts[s, NO_MASK], s)),)


def _refuse_unknown(rows: Sequence[FaceRow], sources: Sequence[str]) -> None:
    there = sorted({r.source for r in rows})
    for source in sources:
        if source not in there:
            raise UsageError(f"no source {source!r} in this set: it holds {', '.join(there)}")


def _has_both(rows: Sequence[FaceRow]) -> bool:
    return {MASK, NO_MASK} <= {r.label for r in rows}


def _refuse_one_class(training: Sequence[FaceRow]) -> None:
    if not _has_both(training):
        present = sorted({r.label for r in training})
        raise DataError(f"only {present} to train on: both mask and no_mask are needed")


def describe_division(division: Division) -> str:
    """One line that says aloud who selects, above all where that is less than was hoped for."""
    d = division
    told = f"{d.trained} faces to train on"
    if d.leave_out:
        told += f", left out: {', '.join(d.leave_out)}"
    if d.kin:
        told += f", {d.kin} more set aside (same people as there)"
    judges = f"{d.judged} held-out faces of known sources"
    if d.unseen:
        judges = f"{d.judged} faces of unseen {', '.join(d.unseen)}"
    if not d.selecting:
        judged = f"figures are of {judges}" if d.judged else "nothing is held out to judge by"
        return f"{told}; nothing is selected, the last weights are kept; {judged}"
    why = f"no source can be spared (that takes {SOURCES_LEFT} with both classes, one of them with {FEWEST} of each): "
    return f"{told}; {'' if d.unseen else why}the best epoch is chosen by {judges}"
