"""A model bundle: one folder that holds a model and all that is needed to use it right.

``bundle.json`` lists every other file with SHA-256 and size. All of it is checked before any of it is loaded; the model
is handed on as the very bytes that were checked. The format is written down in docs/bundle.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from edge.errors import DataError, InputMissing
from edge.records import INCORRECT, MASK, NO_MASK

SCHEMA: Final = 1
MANIFEST: Final = "bundle.json"
SIGNATURE: Final = "bundle.json.sig"
TASKS: Final = ("classifier", "detector")
LABELS: Final = ((MASK, NO_MASK), (MASK, NO_MASK, INCORRECT))
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
MAX_MANIFEST_BYTES: Final = 1 << 20
COMPILED: Final = "model_edgetpu.tflite"
EDGETPU_OP: Final = b"edgetpu-custom-op"  # the operator that edgetpu_compiler puts in place of those it could map


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What the bundle says of a tensor; it must agree with the model. shape: with the batch first."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """p = softmax((logits + bias) / temperature), set on held-out faces (Guo et al., "On Calibration of Modern Neural
    Networks", 2017)."""

    temperature: float
    bias: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified classifier bundle.

    tag: name ``@`` first 12 hex digits of bundle.json's SHA-256, as events carry it.
    labels: in the order of the model's output. crop_margin: share of the box's longer side added on every side.
    threshold: from this p_mask on a single face is called ``mask``. model: the checked bytes of model.tflite.
    edgetpu_model: those of model_edgetpu.tflite, the same model compiled for an Edge TPU; None where there is none.
    """

    path: Path
    name: str
    version: str
    tag: str
    labels: tuple[str, ...]
    input: TensorSpec
    output: TensorSpec
    crop_margin: float
    calibration: Calibration
    threshold: float
    model: bytes
    edgetpu_model: bytes | None = None


def load_bundle(path: Path) -> Bundle:
    """Verify a classifier bundle and read it. Raises InputMissing where there is none, DataError for a bad one."""
    manifest, tag, files = verify_bundle(path)
    if manifest["task"] != "classifier":
        raise DataError(f"bundle {path} is for task {manifest['task']!r}", "a classifier is needed")
    labels = tuple(files.get("labels.txt", b"").decode(errors="replace").splitlines())
    if labels not in LABELS:
        raise DataError(
            f"bundle {path}: labels.txt says {labels}, must be {' or '.join(map(str, LABELS))}", "export it again"
        )
    try:
        read = read_manifest(path, manifest, tag, labels, files["model.tflite"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"bundle {path}: {MANIFEST} lacks or garbles {error}", "export it again") from error
    bundle = replace(read, edgetpu_model=files.get(COMPILED))
    check_values(bundle)
    check_compiled(bundle)
    return bundle


def verify_bundle(path: Path) -> tuple[dict[str, Any], str, dict[str, bytes]]:
    """Check names, sizes and hashes of all that a bundle lists, and that it holds nothing else.

    Returns the manifest, the tag, and the checked bytes by file name.
    """
    raw = read_manifest_bytes(path)
    try:
        manifest = json.loads(raw)
        refuse_another_version(path, manifest)
        name, listed = manifest["name"], manifest["files"]
        wanted = {file: (str(entry["sha256"]), int(entry["size"])) for file, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"bundle {path}: {MANIFEST} is not a manifest ({error!r})", "copy or export it again"
        ) from error
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise DataError(f"bundle {path}: name {name!r} must match {NAME.pattern}", "export it again")
    refuse_strangers(path, set(wanted))
    files = {file: checked_bytes(path, file, *entry) for file, entry in wanted.items()}
    if "model.tflite" not in files:
        raise DataError(f"bundle {path} lists no model.tflite", "export it again")
    return manifest, f"{name}@{hashlib.sha256(raw).hexdigest()[:12]}", files


def refuse_another_version(path: Path, manifest: Any) -> None:
    """What a later version writes may look like nothing that we know. Raises KeyError, TypeError for what is none."""
    schema, task = manifest["schema"], manifest["task"]
    if schema != SCHEMA or task not in TASKS:
        raise DataError(
            f"bundle {path}: schema {schema!r} task {task!r} is not known to this version", "update mask-edge"
        )


def read_manifest_bytes(path: Path) -> bytes:
    file = path / MANIFEST
    if not file.is_file():
        raise InputMissing(f"no model bundle at {path}: {MANIFEST} is not there", "name the folder that holds it")
    if file.is_symlink() or file.stat().st_size > MAX_MANIFEST_BYTES:
        raise DataError(f"bundle {path}: {MANIFEST} is a link or too large", "copy it again")
    return file.read_bytes()


def refuse_strangers(path: Path, listed: set[str]) -> None:
    """Links, paths that lead out, and files that nobody listed may not be in a bundle."""
    for file in listed:
        parts = PurePosixPath(file).parts
        if not parts or file.startswith("/") or ".." in parts or "\\" in file:
            raise DataError(f"bundle {path}: listed path {file!r} must be relative, without '..'", "export it again")
    for entry in walk(path):
        relative = entry.relative_to(path).as_posix()
        if entry.is_symlink():
            raise DataError(f"bundle {path}: {relative} is a link", "copy the bundle with its files")
        if not entry.is_dir() and relative not in listed | {MANIFEST, SIGNATURE}:
            raise DataError(f"bundle {path}: {relative} is not listed in {MANIFEST}", "remove it")


def walk(path: Path) -> Iterator[Path]:
    """Everything below a folder, links not followed."""
    for entry in sorted(path.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from walk(entry)


def checked_bytes(path: Path, file: str, sha256: str, size: int) -> bytes:
    target = path / file
    if not target.is_file():
        raise DataError(f"bundle {path}: {file} is missing", "copy the bundle again")
    found = target.stat().st_size
    if found != size:
        raise DataError(f"bundle {path}: {file} has {found:,} bytes instead of {size:,}", "copy the bundle again")
    data = target.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"bundle {path}: {file} was altered (SHA-256 differs)", "copy the bundle again")
    return data


def read_manifest(path: Path, manifest: dict[str, Any], tag: str, labels: tuple[str, ...], model: bytes) -> Bundle:
    calibration = manifest["calibration"]
    if manifest["input"]["colour"] != "RGB":
        raise ValueError(f"colour order {manifest['input']['colour']!r}")
    return Bundle(
        path=path,
        name=manifest["name"],
        version=str(manifest["version"]),
        tag=tag,
        labels=labels,
        input=tensor_spec(manifest["input"]),
        output=tensor_spec(manifest["output"]),
        crop_margin=float(manifest["crop_margin"]),
        calibration=Calibration(float(calibration["temperature"]), tuple(float(b) for b in calibration["bias"])),
        threshold=float(manifest["thresholds"][MASK]),
        model=model,
    )


def tensor_spec(entry: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(n) for n in entry["shape"])
    return TensorSpec(shape, str(entry["dtype"]), float(entry["scale"]), int(entry["zero_point"]))


def check_values(bundle: Bundle) -> None:
    """Refuse values that no classifier of ours can have."""
    shape, count = bundle.input.shape, len(bundle.labels)
    wrong = None
    if not (len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2] and shape[3] == 3):
        wrong = f"input shape {shape} must be (1, side, side, 3)"
    elif (bundle.input.dtype, bundle.output.dtype) != ("uint8", "uint8"):
        wrong = f"tensors are {bundle.input.dtype} in, {bundle.output.dtype} out: both must be uint8"
    elif bundle.output.shape != (1, count) or len(bundle.calibration.bias) != count:
        wrong = f"{count} labels, but output shape {bundle.output.shape} and {len(bundle.calibration.bias)} biases"
    elif not all(map(math.isfinite, (*bundle.calibration.bias, bundle.calibration.temperature))):  # JSON knows NaN
        wrong = f"{bundle.calibration} must be finite"
    elif not (0 <= bundle.crop_margin <= 1 and bundle.calibration.temperature > 0 and 0 < bundle.threshold < 1):
        wrong = "crop_margin must be 0-1, temperature above 0, threshold between 0 and 1"
    if wrong:
        raise DataError(f"bundle {bundle.path}: {wrong}", "export it again")


def check_compiled(bundle: Bundle) -> None:
    """Neither model in the other's place: no CPU runs what was compiled, an Edge TPU has no part in what was not."""
    if EDGETPU_OP in bundle.model:
        raise DataError(
            f"bundle {bundle.path}: model.tflite is compiled for an Edge TPU, which belongs into {COMPILED} "
            "beside the model it was made of",
            "export it again",
        )
    if bundle.edgetpu_model is not None and EDGETPU_OP not in bundle.edgetpu_model:
        raise DataError(
            f"bundle {bundle.path}: {COMPILED} is not compiled for an Edge TPU", "run 'trainer export --edgetpu'"
        )
