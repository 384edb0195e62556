"""A run made into the folder that ships: model, labels, calibration, card, golden inputs, and the hashes of all of it.

Written beside its place and renamed into it, so that a cut leaves the old bundle whole. What is read back is what
``edge`` will read: a bundle that its loader or its self-test refuses is never put in place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.bundle import MANIFEST, NAME, SCHEMA
from edge.errors import DataError, DiskError, EdgeError, InputMissing, OutputError, UsageError
from edge.golden import check_golden
from edge.interpreter import Interpreter, find_runtime
from edge.opencv import cv2
from edge.records import MASK, NO_MASK, ImageU8
from trainer.faces.manifest import HELD_OUT, LABELS, TRAIN, FaceRow
from trainer.judge.evaluate import agreement, as_json, class_weights, faces, report
from trainer.learn import fit, runs
from trainer.metrics import Calibration, Floats, calibrate, probabilities
from trainer.ship.card import card
from trainer.ship.exported import Export
from trainer.ship.quantize import check_input, dequantise, raw_answers, representative_crops, to_int8

THRESHOLD: Final = 0.5
AT_A_DOOR: Final = (0.45, 0.45, 0.10)  # mask, no_mask, incorrect: what calibration takes as usual
HASHED_BLOCK: Final = 1 << 20


def quantized(run: Path, data: Path) -> Export:
    """Convert a run's best weights, calibrate the result on held-out faces, and measure it beside its float parent."""
    settings = runs.read_run(run).settings
    held_out = faces(data, HELD_OUT)
    network = fit.load_best(run, settings)
    model = to_int8(network, representative_crops(faces(data, TRAIN), fit.recipe_of(settings, data)))
    interpreter = Interpreter(model)
    check_input(interpreter.input)
    crops = fit.crops_of(settings, data, held_out)
    integer, real = dequantise(raw_answers(interpreter, crops), interpreter.output), fit.logits_of(network, crops)
    calibration = _calibration(integer, held_out)
    p_integer, p_real = (probabilities(x, calibration)[:, 0] for x in (integer, real))
    return Export(
        model=model,
        input=interpreter.input,
        output=interpreter.output,
        calibration=calibration,
        figures=as_json(report("int8", integer, held_out, calibration, THRESHOLD)),
        float_figures=as_json(report("float", real, held_out, calibration, THRESHOLD)),
        agreement=agreement(p_integer, p_real, THRESHOLD),
    )


def _calibration(logits: Floats, rows: Sequence[FaceRow]) -> Calibration:
    labels = np.array([r.label_index for r in rows])
    return calibrate(logits, labels, class_weights(labels, AT_A_DOOR))


@dataclass(frozen=True, slots=True)
class Naming:
    """What the bundle is called. golden: a folder of PNG crops that may be shipped, or None."""

    name: str
    version: str
    golden: Path | None

    def __post_init__(self) -> None:
        golden_crops(self.golden)  # said before the long work, not after it
        if not NAME.fullmatch(self.name):
            raise UsageError(f"bundle name {self.name!r} must match {NAME.pattern}: choose another with --name")


def write_bundle(export: Export, run: Path, data: Path, naming: Naming, out: Path) -> str:
    """Put a bundle at ``out``; an older bundle there is replaced, anything else is left alone. Returns its tag line."""
    refuse_foreign(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".new-bundle-") as beside:
            fresh = Path(beside) / out.name
            fresh.mkdir()
            fill(fresh, export, run, data, naming)
            said = check_golden(fresh)
            swap(fresh, out, Path(beside) / "old")
    except EdgeError:
        raise
    except OSError as error:
        raise DiskError(f"cannot write bundle {out}: {error.strerror or error}") from error
    return said


def swap(fresh: Path, out: Path, old: Path) -> None:
    """Put ``fresh`` in the place of ``out``; where that fails, also by Ctrl-C, what was there comes back."""
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(old)
    try:
        fresh.rename(out)
    except BaseException:
        if not out.exists():
            old.rename(out)
        raise


def refuse_foreign(out: Path) -> None:
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))):
        raise OutputError(f"{out} is there and is no bundle: choose another folder with --out")


def fill(folder: Path, export: Export, run: Path, data: Path, naming: Naming) -> None:
    """Write every file of a bundle, ``bundle.json`` last, since it holds the hashes of the others."""
    settings = runs.read_run(run)
    told = provenance(settings, data)
    (folder / "model.tflite").write_bytes(export.model)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "CARD.md").write_text(card(naming.name, naming.version, export, told, settings.settings))
    write_golden(folder / "golden", export, naming.golden)
    manifest = describe(export, told, settings.settings, naming) | {"files": listing(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def describe(export: Export, told: Mapping[str, Any], settings: runs.Settings, naming: Naming) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": naming.name,
        "version": naming.version,
        "task": "classifier",
        "input": asdict(export.input) | {"colour": "RGB"},
        "output": asdict(export.output),
        "crop_margin": settings.margin,
        "calibration": asdict(export.calibration),
        "thresholds": {MASK: THRESHOLD},
        "training": {**told, "held_out": export.figures, "float_agreement": round(export.agreement, 4)},
    }


def provenance(run: runs.Run, data: Path) -> dict[str, Any]:
    """What a bundle was made of, without any path of this machine."""
    rows = faces(data, "all")
    counts = Counter((r.split, r.source, r.label) for r in rows)
    settings = {k: v for k, v in asdict(run.settings).items() if k not in ("data", "weights", "start_from")}
    return {
        "architecture": f"MobileNetV2 alpha {run.settings.alpha}",
        "weights": Path(run.settings.weights).name if run.settings.weights else "random",
        "epochs_of_runs": [*run.earlier, len(run.figures)],
        "settings": settings,
        "prepared_set_sha256": sha256(data / "manifest.csv"),
        "faces": {
            split: {
                source: {label: counts[split, source, label] for label in LABELS if counts[split, source, label]}
                for source in sorted({r.source for r in rows if r.split == split})
            }
            for split in (TRAIN, HELD_OUT)
        },
        "tensorflow": version_of_any("tensorflow-cpu", "tensorflow"),
        "runtime": find_runtime()[1],
    }


def version_of_any(*packages: str) -> str:
    for package in packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "unknown"


def write_golden(folder: Path, export: Export, source: Path | None) -> None:
    """Copy the crops and write what the model says of them; without crops the list is empty."""
    folder.mkdir()
    interpreter = Interpreter(export.model)
    inputs = []
    for path in golden_crops(source):
        crop = read_crop(path, export.input.shape[1])
        raw = raw_answers(interpreter, crop[np.newaxis])
        p_mask = float(probabilities(dequantise(raw, export.output), export.calibration)[0, 0])
        label = MASK if p_mask >= THRESHOLD else NO_MASK
        inputs.append({"file": path.name, "label": label, "p_mask": round(p_mask, 4), "raw": raw[0].tolist()})
        shutil.copyfile(path, folder / path.name)
    expected = {"runtime": find_runtime()[1], "inputs": inputs}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def golden_crops(source: Path | None) -> list[Path]:
    if source is None:
        return []
    found = sorted(source.glob("*.png"))
    if not found:
        raise InputMissing(f"no PNG crop in {source}: --golden takes a folder of them")
    return found


def read_crop(path: Path, size_px: int) -> ImageU8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or image.shape != (size_px, size_px, 3):
        found = "no image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise DataError(f"golden crop {path} is {found}: it must be a {size_px}x{size_px} colour PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def summary(export: Export) -> Iterator[str]:
    """What a person at the terminal wants to know of an export."""
    for name, f in (("int8", export.figures), ("float", export.float_figures)):
        low, high = f["ci95"]
        yield (
            f"{name}: {f['n']} held-out faces, balanced {f['balanced_accuracy']} (95%: {low} to {high}), "
            f"badly worn called mask {f['incorrect_called_mask']}, ECE {f['ece']}"
        )
    yield f"same answer from both: {export.agreement:.2%}; temperature {export.calibration.temperature}"


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file, by relative path."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): {"sha256": sha256(p), "size": p.stat().st_size} for p in found}


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(HASHED_BLOCK):
            digest.update(block)
    return digest.hexdigest()
