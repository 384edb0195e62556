"""How long the default recipe takes from prepared faces to a bundle, beside the reference recipe's 15 epochs.

    python benchmarks/training_time.py FACES --weights mobilenet_v2.weights.h5

One epoch of each recipe is trained on the same faces in one go and counted as often as the recipe has epochs, since
they are alike; starting, cached features, the head and the export are measured whole. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from edge.errors import DataError
from trainer.__main__ import main as trainer
from trainer.learn.recipes import PLANS
from trainer.learn.runs import Run, Settings, read_run

FIRST_PHASE: Final = ("start", "features", "head")


def trained(data: Path, recipe: str, weights: str, out: Path) -> Run:
    command = ["train", str(data), "--recipe", recipe, "--weights", weights, "--epochs", "1", "--unseen", "none"]
    if trainer([*command, "--out", str(out)]):
        raise SystemExit(f"{recipe} could not be trained")
    return read_run(out)


def exported_s(run: Path, data: Path, out: Path) -> float:
    """Seconds of an export; one that a gate refuses (an epoch is not much) takes as long. Exits where it broke."""
    start = time.monotonic()
    code = trainer(["export", str(run), "--data", str(data), "--out", str(out)])
    if code not in (0, DataError.exit_code):
        raise SystemExit(f"{run} could not be exported: exit code {code}")
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--weights", required=True, help="width 1.0")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        ours = trained(args.faces, "mobilenet_v2", args.weights, out / "ours")
        reference = trained(args.faces, "reference", args.weights, out / "reference")
        export_s = exported_s(out / "ours", args.faces, out / "bundle")
    first_s = sum(ours.timings[name] for name in FIRST_PHASE)
    epochs = Settings(data="", weights=None).epochs
    whole_s = first_s + epochs * ours.timings["whole"] + export_s
    reference_epochs = PLANS["reference"].preset["epochs"]
    reference_s = reference_epochs * reference.timings["whole"]
    print(f"{ours.division.trained} faces")
    print(f"reference recipe, {reference_epochs} epochs of {reference.timings['whole']:.0f} s: {reference_s:.0f} s")
    print(f"ours, first phase: {first_s:.0f} s, {first_s / reference_s:.3f} of that")
    print(f"ours, {epochs} epochs of {ours.timings['whole']:.0f} s, export {export_s:.0f} s")
    print(f"ours, from faces to a bundle: {whole_s / 60:.1f} min")


if __name__ == "__main__":
    main()
