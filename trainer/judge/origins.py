"""What a model says that it was made of, and what a reader must know of it before believing a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import DataError
from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow, manifest_sha256
from trainer.learn.runs import Division, Run


@dataclass(frozen=True, slots=True)
class Origin:
    """manifest_sha256: of the prepared set that it was trained on, "" where the model does not tell. division: who took
    part; counts may be missing. calibrated: whether its calibration was set on that set's held-out faces.
    training: what a bundle tells of itself, as it stands in ``bundle.json``.
    """

    manifest_sha256: str = ""
    division: Division = field(default_factory=Division)
    calibrated: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)


def of_run(run: Run) -> Origin:
    return Origin(run.manifest_sha256 or "", run.division)


def of_bundle(training: Any) -> Origin:
    """training: the value of that name in ``bundle.json``; bundles of other makers may lack any part of it."""
    told = _object(training)
    chosen_by, settings = _object(told.get("chosen_by")), _object(told.get("settings"))
    division = Division(
        judged_on=str(chosen_by.get("judged_on", "nothing")),
        selecting=bool(chosen_by.get("selecting")),
        unseen=tuple(chosen_by.get("unseen") or ()),
        leave_out=tuple(settings.get("leave_out") or ()),
    )
    return Origin(str(told.get("prepared_set_sha256", "")), division, True, told)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def notes(origin: Origin, folder: Path, rows: Sequence[FaceRow]) -> Iterator[str]:
    """A sentence each. rows: the faces judged, of the prepared set in ``folder``."""
    if not origin.manifest_sha256:
        yield "the model does not say which set it was trained on: if it was on these faces, the figures flatter"
    elif origin.manifest_sha256 != manifest_sha256(folder):
        yield "this set is not the one it was trained on (other manifest): where faces are in both, the figures flatter"
    else:
        yield from _notes_on_its_own_set(origin, rows)


def _notes_on_its_own_set(origin: Origin, rows: Sequence[FaceRow]) -> Iterator[str]:
    division = origin.division
    apart = {*division.unseen, *division.leave_out}
    known = [r for r in rows if r.source not in apart]
    trained, kept = (sum(r.split == split for r in known) for split in (TRAIN, HELD_OUT))
    if trained:
        yield f"{trained:,} of these {len(rows):,} faces are training faces: it was trained on these faces"
    chose = division.judged_on if division.selecting else "nothing"
    if chose == HELD_OUT and kept:
        yield "the best epoch was chosen on held-out faces of the same kind: the figures are a little flattered"
    if chose == "unseen" and {r.source for r in rows} & set(division.unseen):
        yield f"the best epoch was chosen on faces of {', '.join(division.unseen)}, which are among the faces judged"
    if origin.calibrated and any(r.split == HELD_OUT for r in rows):
        yield "calibration and threshold were set on these faces: figures flatter a little"
    if kept:
        yield (
            f"{kept:,} of these {len(rows):,} faces come from sources that it was trained on, though from other people "
            "and scenes: at a new place it will do worse; trainer train --leave-out tells how much"
        )


def refuse_other_run(bundle: Path, origin: Origin, run: Run, folder: Path) -> None:
    """Raises DataError where the bundle tells that it was made of another run, or of this one before it went on."""
    if not origin.calibrated:
        raise DataError(f"{bundle} is no bundle: name the folder that `trainer export` made, or leave --bundle away")
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(run.settings).items()}
    made = {"prepared_set_sha256": manifest_sha256(folder), "epochs_of_runs": [*run.earlier, len(run.whole)]}
    told = {**_object(origin.training.get("settings")), **{k: origin.training.get(k) for k in made}}
    own = {k: v for k, v in {**settings, **made}.items() if told.get(k) is not None}
    other = [k for k, v in own.items() if told[k] != v]
    if other:
        raise DataError(
            f"{bundle} was not made of this run on this set (other {', '.join(other)}): "
            "name the bundle that `trainer export` made of it, or leave --bundle away"
        )
