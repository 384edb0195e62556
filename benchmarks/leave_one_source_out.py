"""Every recipe judged on each source that it was not trained on: the table of docs/training.md.

    python benchmarks/leave_one_source_out.py FACES --weights mobilenet_v2.weights.h5 --out loso/

FACES is a prepared set. All recipes train on the same faces: at most ``--per-class`` of each source and class, so that
it takes an hour on two cores and not a day. They are judged on all faces of the source that was left out. A run that is
there already is kept, so that a stop costs one run. Further options go to ``trainer train`` for our recipe, so that its
choices can be compared, each in a folder of its own: ``--recipe mobilenet_v2 --out loso-160/ --input-px 160``. A folder
with runs of another set or of other options is refused.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.records import MASK, NO_MASK
from trainer.__main__ import main as trainer
from trainer.faces.manifest import FaceRow, manifest_sha256, read_manifest, write_manifest

RECIPES: Final = ("mobilenet_v2", "reference", "baseline_cnn")
OURS: Final = ("--epochs", "4", "--draws", "2400", "--unseen", "none")  # a fifteenth of the default recipe's draws
MADE_WITH: Final = "options.json"
FEWEST: Final = 50  # faces of each class that make a source worth leaving out


def refuse_others(out: Path, options: Mapping[str, object]) -> None:
    """Write down what the runs in ``out`` are made with. SystemExit where there are some that are of something else."""
    runs, file = out / "runs", out / MADE_WITH
    mine = json.dumps(options, indent=2) + "\n"
    if runs.is_dir() and any(runs.iterdir()) and not (file.is_file() and file.read_text() == mine):
        raise SystemExit(f"{out} holds runs of another set or of other options than these: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(mine)


def thinned(rows: list[FaceRow], per_class: int, left_out: str, seed: int = 1) -> list[FaceRow]:
    """A seeded draw of at most ``per_class`` faces of each source and class, in the order of the manifest.

    Of the source that is left out all stay: its people are not to be trained on in other sources either.
    """
    shuffled = random.Random(seed).sample(rows, len(rows))
    taken: Counter[tuple[str, str]] = Counter()
    kept = set()
    for row in shuffled:
        key = row.source, row.label
        if row.source == left_out or taken[key] < per_class:
            taken[key] += 1
            kept.add(row.path)
    return [r for r in rows if r.path in kept]


def thin_set(faces: Path, per_class: int, left_out: str, out: Path) -> Path:
    """A prepared set of fewer faces whose pictures are those of ``faces``."""
    rows = thinned(read_manifest(faces), per_class, left_out)
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted({r.source for r in rows}):
        link = out / source
        link.unlink(missing_ok=True)  # it may lead to another set
        link.symlink_to((faces / source).resolve(), target_is_directory=True)
    write_manifest(out, rows)
    return out


def sources_with_both(rows: list[FaceRow]) -> list[str]:
    counts = Counter((r.source, r.label) for r in rows)
    sources = sorted({r.source for r in rows})
    return [s for s in sources if min(counts[s, MASK], counts[s, NO_MASK]) >= FEWEST]


def train(data: Path, recipe: str, source: str, *, weights: str, out: Path, more: Sequence[str]) -> None:
    start = [] if recipe == "baseline_cnn" else ["--weights", weights]
    ours = (*OURS, *more) if recipe == "mobilenet_v2" else ()
    command = ["train", str(data), "--recipe", recipe, "--leave-out", source, "--out", str(out), *start, *ours]
    if trainer(command):
        raise SystemExit(f"{recipe} without {source} could not be trained")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument(
        "--weights", required=True, help="for our recipe and `reference`; of the width that --alpha says"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=80)
    parser.add_argument("--recipe", action="append", choices=RECIPES)
    args, more = parser.parse_known_args()
    options = {
        "faces": manifest_sha256(args.faces),
        "faces per class": args.per_class,
        "weights": Path(args.weights).name,
        "ours": [*OURS, *more],
    }
    refuse_others(args.out, options)
    runs = args.out / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for source in sources_with_both(read_manifest(args.faces)):
        few = thin_set(args.faces, args.per_class, source, args.out / f"faces-without-{source}")
        for recipe in args.recipe or RECIPES:
            folder = runs / f"{recipe}-without-{source}"
            if not folder.is_dir():
                unfinished = args.out / "unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                train(few, recipe, source, weights=args.weights, out=unfinished, more=more)
                unfinished.rename(folder)
    sys.exit(trainer(["evaluate", str(runs), "--data", str(args.faces), "--left-out"]))


if __name__ == "__main__":
    main()
