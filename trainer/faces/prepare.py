"""From labelled photos to a prepared set: cut, sifted, grouped, split, written; the manifest comes last.

A folder without a manifest is no prepared set, and a run that is stopped or fails takes back what it wrote.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.detect import Detector
from edge.errors import DataError, OutputError, UsageError
from edge.records import MASK, NO_MASK
from trainer.faces.copies import sift
from trainer.faces.cutting import cut_photos
from trainer.faces.labels import LABELS
from trainer.faces.leaks import Leak, find_leaks
from trainer.faces.manifest import HELD_OUT, FaceRow, refuse_straddling, write_manifest
from trainer.faces.photos import Dropped, Found, write_dropped
from trainer.faces.sheet import write_sheets
from trainer.faces.split import hold_out

ENOUGH_HELD_OUT: Final = 40  # faces of a class: a recall of 95% is then known to about 7 points


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of the photos. warnings: sentences with their remedies."""

    rows: list[FaceRow]
    dropped: list[Dropped]
    leaks: list[Leak]
    warnings: list[str]


def prepare(
    found: Found,
    detector: Detector,
    out: Path,
    *,
    held_out_sources: Sequence[str] = (),
    share: float = 0.2,
    seed: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> Prepared:
    """Make a prepared set in ``out``, an empty folder. Two runs with one seed give the same manifest.

    share: of the faces held out; 0 makes a set to judge a model by, and one class is enough for that. tick: called once
    per picture. Raises UsageError for a source that is not there, DataError where there is no face of both classes,
    DiskError.
    """
    sources = sorted({p.source for p in found.photos})
    refuse_unknown_sources(held_out_sources, sources, "--held-out")
    if share:
        refuse_one_class([p.label for p in found.photos], "the photos")
    faces, unread = cut_photos(found.photos, detector, out, tick)
    sifted = sift(faces)
    dropped = sorted([*found.dropped, *unread, *sifted.dropped], key=lambda d: (d.path, d.label, d.reason))
    if share or not sifted.rows:
        refuse_one_class([r.label for r in sifted.rows], "what is left of the photos", dropped)
    rows = hold_out(sifted.rows, held_out_sources or sources, share, seed)
    refuse_straddling(rows)
    _forget({f.row.path for f in faces} - {r.path for r in rows}, out)
    leaks = find_leaks(rows)
    write_sheets(out, rows, seed)
    write_dropped(out, dropped)
    write_manifest(out, rows)
    return Prepared(rows, dropped, leaks, [*few_faces(rows), *leaking(leaks)] if share else [])


def refuse_unknown_sources(names: Sequence[str], sources: Sequence[str], option: str) -> None:
    for name in names:
        if name not in sources:
            raise UsageError(f"{option} {name}: there is no such source, only {', '.join(sources)}")


def refuse_one_class(labels: Sequence[str], what: str, dropped: Sequence[Dropped] = ()) -> None:
    """Raise DataError where masked or bare faces are missing."""
    missing = [label for label in (MASK, NO_MASK) if label not in labels]
    if missing:
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(d.reason for d in dropped).most_common(4))
        raise DataError(
            f"{what} show no face labelled {' or '.join(missing)}{f' (dropped: {reasons})' if reasons else ''}: "
            "a model needs both mask and no_mask, add photos of the other, or say --map WORD=LABEL; "
            "to judge a model by one class, --share 0"
        )


def _forget(names: set[str], out: Path) -> None:
    for name in names:
        (out / name).unlink(missing_ok=True)


def few_faces(rows: Sequence[FaceRow]) -> list[str]:
    """A warning per class whose held-out faces are too few for a figure."""
    warnings = []
    held = Counter(r.label for r in rows if r.split == HELD_OUT)
    for label in LABELS:
        n, own = sum(r.label == label for r in rows), held[label]
        if n and own < ENOUGH_HELD_OUT:
            known = (
                f"a recall of 95% is known to {interval_points(own):.0f} points there" if own else "nothing is known"
            )
            warnings.append(
                f"only {own} of {n} faces of {label} are held out, {known}: "
                f"add photos, from {ENOUGH_HELD_OUT} held-out faces on a figure means something"
            )
    return warnings


def interval_points(n: int, recall: float = 0.95) -> float:
    """Half the 95% interval of a recall over ``n`` faces, in points (normal approximation)."""
    return float(100 * 1.96 * (recall * (1 - recall) / n) ** 0.5)


def leaking(leaks: Sequence[Leak]) -> list[str]:
    """A warning where something trivial predicts the class."""
    told = sorted(((leak.told, leak.how) for leak in leaks if leak.told is not None), reverse=True)
    if not told:
        return []
    return [
        f"the class can be told without looking at a mask: by {', '.join(f'{how} {v:.0%}' for v, how in told)} "
        "(chance: 50%), so figures on held-out faces of these sources flatter: add photos of the same kind to the "
        "other class, and judge the model on a source that it was not trained on; `trainer train` draws the sources "
        "evenly and makes all pictures poor alike, which hides a part of it"
    ]


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder that stays only if all goes well; stopped or failed, what was written is taken back.

    Raises OutputError where it holds something or cannot be made.
    """
    is_new = not path.exists()
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(f"{path} is not empty: choose another folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path}: {error.strerror}: choose another folder with --out") from error
    try:
        yield path
    except BaseException:
        for each in path.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if is_new:
            path.rmdir()
        raise
