"""A run made into the folder that ships: model, labels, calibration, card, golden inputs, and the hashes of all of it.

Written beside its place and renamed into it, so that a failure or Ctrl-C leaves the old bundle whole. What is read back
is what ``edge`` will read: a bundle that its loader or its self-test refuses is never put in place.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.bundle import COMPILED, MANIFEST, NAME, SCHEMA, verify_bundle
from edge.errors import DataError, DiskError, EdgeError, InputMissing, OutputError, UsageError
from edge.golden import check_golden
from edge.interpreter import Interpreter, find_runtime
from edge.opencv import cv2
from edge.records import MASK, NO_MASK, ImageU8
from trainer.faces.labels import LABELS
from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow, manifest_sha256, read_manifest
from trainer.judge.models import dequantise, raw_answers
from trainer.learn import runs
from trainer.learn.division import NONE, divided, held_out_of
from trainer.metrics import MASK_AT, probabilities
from trainer.ship import gates
from trainer.ship.card import card
from trainer.ship.exported import FLOAT16, FLOAT32, INT8, Export, fed

FLOAT_FED: Final = {"normalise": {"divide_by": 127.5, "subtract": 1.0}}  # pixels to what a float model takes
FED: Final[dict[str, dict[str, Any]]] = {INT8: {}, FLOAT16: FLOAT_FED, FLOAT32: FLOAT_FED}
PATTERNS: Final = 6  # golden inputs where no crops are given


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
    """Put a bundle at ``out``; an older bundle there is replaced, anything else is left alone. Returns its tag line.

    Raises DataError where a gate refuses it; the older bundle then stays as it is, as after any other failure.
    """
    refuse_foreign(out)
    gates.refuse(export.gates)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".new-bundle-") as beside:
            fresh = Path(beside) / out.name
            fresh.mkdir()
            fill(fresh, export, run, data, naming)
            said = self_test(fresh, export.kind)
            swap(fresh, out, Path(beside) / "old")
    except EdgeError:
        raise
    except OSError as error:
        raise DiskError(f"cannot write bundle {out}: {error.strerror or error}") from error
    return said


def self_test(folder: Path, kind: str) -> str:
    """What ``edge`` says of the folder: of integers that golden inputs agree, of floats that hashes do."""
    if kind == INT8:
        return check_golden(folder)
    return f"{verify_bundle(folder)[1]}: {kind}, for other programs: edge runs int8 bundles only"


def swap(fresh: Path, out: Path, old: Path) -> None:
    """Put ``fresh`` in the place of ``out``; where that fails, also by Ctrl-C, what was there comes back.

    It takes two renames. SIGKILL or a power cut between them leaves nothing at ``out``, and both bundles whole in the
    hidden folder ``.new-bundle-*`` beside it, the older one as ``old``: move either to ``out`` by hand. What such a
    folder holds after any other cut may be deleted.
    """
    os.sync()  # a power cut soon after must not find the new name with empty files
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


def refuse_early(run: Path, naming: Naming, out: Path) -> None:
    """What a bundle would be refused for in the end, said before the long work."""
    refuse_foreign(out)
    if naming.golden:
        size_px = runs.read_run(run).settings.input_px
        for path in golden_crops(naming.golden):
            read_crop(path, size_px)


def refuse_foreign(out: Path) -> None:
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))):
        raise OutputError(f"{out} is there and is no bundle: choose another folder with --out")


def fill(folder: Path, export: Export, run: Path, data: Path, naming: Naming) -> None:
    """Write every file of a bundle, ``bundle.json`` last, since it holds the hashes of the others."""
    settings = runs.read_run(run)
    told = provenance(settings, data)
    (folder / "model.tflite").write_bytes(export.model)
    if export.compiled:
        (folder / COMPILED).write_bytes(export.compiled.model)
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
        "input": asdict(export.input) | {"colour": "RGB"} | FED[export.kind],
        "output": asdict(export.output),
        "crop_margin": settings.margin,
        "calibration": asdict(export.calibration),
        "thresholds": {MASK: export.threshold},
        "training": {
            **told,
            "held_out": export.figures,
            "float_agreement": round(export.agreement, 4),
            "gates": [gate.as_json() for gate in export.gates if gate.repeats],
        },
    }


def provenance(run: runs.Run, data: Path) -> dict[str, Any]:
    """What a bundle was made of, without any path of this machine."""
    settings = {k: v for k, v in asdict(run.settings).items() if k not in ("data", "weights", "start_from")}
    training = divided(data, run.division.unseen or (NONE,), run.settings.leave_out).training
    held_out = held_out_of(read_manifest(data), run.settings.leave_out)
    return {
        "architecture": f"MobileNetV2 alpha {run.settings.alpha}",
        "weights": started_from(run.settings),
        "epochs_of_runs": [*run.earlier, len(run.whole)],
        "settings": settings,
        "chosen_by": {k: v for k, v in asdict(run.division).items() if k in ("judged_on", "selecting", "unseen")},
        "prepared_set_sha256": manifest_sha256(data),
        "faces": {TRAIN: counted(training), HELD_OUT: counted(held_out)},
        "tensorflow": version_of_any("tensorflow-cpu", "tensorflow"),
        "runtime": find_runtime()[1],
    }


def started_from(settings: runs.Settings) -> str:
    """``settings.weights`` has a default, and counts only where no run was started from."""
    if settings.start_from:
        return "weights of an earlier run"
    return Path(settings.weights).name if settings.weights else "random weights"


def counted(rows: Iterable[FaceRow]) -> dict[str, dict[str, int]]:
    """Numbers of faces by source and label."""
    counts = Counter((r.source, r.label) for r in rows)
    sources = sorted({source for source, _ in counts})
    return {s: {label: counts[s, label] for label in LABELS if counts[s, label]} for s in sources}


def version_of_any(*packages: str) -> str:
    for package in packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "unknown"


def write_golden(folder: Path, export: Export, source: Path | None) -> None:
    """Put the crops there with what the model says of them; without a folder of them, patterns."""
    folder.mkdir()
    interpreter = Interpreter(export.model)
    size_px = export.input.shape[1]
    given = {path.name: read_crop(path, size_px) for path in golden_crops(source)} or patterns(size_px)
    inputs = []
    for name, crop in given.items():
        raw = raw_answers(interpreter, fed(crop[np.newaxis], export.input))
        p_mask = float(probabilities(dequantise(raw, export.output), export.calibration)[0, MASK_AT])
        label = MASK if p_mask >= export.threshold else NO_MASK
        inputs.append({"file": name, "label": label, "p_mask": round(p_mask, 4), "raw": raw[0].tolist()})
        write_crop(folder / name, crop)
    expected = {"runtime": find_runtime()[1], "inputs": inputs}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def golden_crops(source: Path | None) -> list[Path]:
    if source is None:
        return []
    found = sorted(source.glob("*.png"))
    if not found:
        raise InputMissing(f"no PNG crop in {source}: --golden takes a folder of them")
    return found


def patterns(size_px: int) -> dict[str, ImageU8]:
    """Seeded patches of colour, by file name: a site has no faces that may be shipped, and a runtime that computes
    wrong does so on these, too. (size_px, size_px, 3) uint8 RGB each."""
    rng = np.random.default_rng(0)
    drawn = {}
    for number in range(PATTERNS):
        coarse = rng.integers(0, 256, (2 + number, 2 + number, 3), np.uint8)
        drawn[f"pattern-{number}.png"] = cv2.resize(coarse, (size_px, size_px)).astype(np.uint8, copy=False)
    return drawn


def write_crop(path: Path, crop_rgb: ImageU8) -> None:
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def read_crop(path: Path, size_px: int) -> ImageU8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or image.shape != (size_px, size_px, 3):
        found = "no image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise DataError(f"golden crop {path} is {found}: it must be a {size_px}x{size_px} colour PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def summary(export: Export) -> Iterator[str]:
    """What a person at the terminal wants to know of an export."""
    for name, f in ((export.kind, export.figures), ("float", export.float_figures)):
        low, high = f["ci95"]
        interval = "too few groups for an interval" if low is None else f"95%: {low} to {high}"
        yield (
            f"{name}: {f['n']} held-out faces, balanced {f['balanced_accuracy']} ({interval}), "
            f"badly worn called mask {f['incorrect_called_mask']}, ECE {f['ece']}"
        )
    yield f"same answer from both: {export.agreement:.2%}; temperature {export.calibration.temperature}"


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file, by relative path."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): {"sha256": sha256(p), "size": p.stat().st_size} for p in found}


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
