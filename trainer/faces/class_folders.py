"""Photos in folders named after their label, at any depth: ``mask/``, ``Train/No_mask/``, ``door/mask/anna/``.

The nearest folder with a label's name gives the label. Folders of an earlier split (``Train``, ``Validation``) say
nothing. A folder *inside* a class folder is a person or a scene, and becomes a group: ``mask/anna`` and
``no_mask/anna`` are one. Photos taken within seconds of one another are one group too; so are the snapshots of a door,
whose names hold their time.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Final

from edge.errors import DataError
from trainer.faces.groups import bursts, times_taken
from trainer.faces.labels import Naming
from trainer.faces.photos import PICTURES, Found, Photo, files_in

SPLITS: Final = frozenset(("train", "training", "validation", "val", "valid", "test", "testing"))
SAY_NOTHING: Final = SPLITS | {"images", "imgs", "jpegimages", "photos", "pictures", "snapshots"}


def read_class_folders(folder: Path, source: str, naming: Naming) -> Found:
    """Every file below a class folder as a photo; pictures elsewhere are counted. Raises DataError where none is."""
    found = Found()
    strays: Counter[str] = Counter()
    files = files_in(folder)
    for path in files:
        name = path.relative_to(folder).as_posix()
        label, scene = _label_and_scene(name, naming)
        if label:
            group = f"{source}:{scene or name}"
            found.photos.append(Photo(path, source, name, label, group))
        elif path.suffix.lower() in PICTURES:
            strays[PurePosixPath(name).parent.as_posix()] += 1
            found.drop(source, name, "", "in no folder with a label")
    if not found.photos:
        raise DataError(_no_label(folder, strays))
    _refuse_sources_within(folder, files)
    found.notes += _notes(source, found.photos, folder)
    found.taken_together = bursts(found.photos, times_taken(found.photos))
    return found


def _label_and_scene(name: str, naming: Naming) -> tuple[str | None, str]:
    """Of ``Train/Mask/anna/1.jpg``: ``mask`` and ``anna``."""
    parts = PurePosixPath(name).parent.parts
    for depth in range(len(parts), 0, -1):
        if label := naming.label(parts[depth - 1]):
            below = [part for part in parts[depth:] if part.lower() not in SAY_NOTHING]
            return label, "/".join(below)
    return None, ""


def _no_label(folder: Path, strays: Counter[str]) -> str:
    if not strays:
        return f"{folder} holds no labelled photo: it needs photos in mask/ and no_mask/, a labels.csv, or VOC *.xml"
    seen = ", ".join(f"{'its top' if name == '.' else name + '/'} ({n})" for name, n in strays.most_common(6))
    word = next((name for name, _ in strays.most_common() if name != "."), "bare").rpartition("/")[2]
    return (
        f"{folder} has no folder named after a label, its pictures are in {seen}: "
        f"name folders mask/ and no_mask/, or say which is which, as in --map {word}=no_mask"
    )


def _refuse_sources_within(folder: Path, files: list[Path]) -> None:
    """A folder of sources taken for one source would read each as folders, without its boxes and groups."""
    for path in files:
        if path.name == "labels.csv":
            raise DataError(f"{folder} holds a source of its own, {path.parent}: name each source as an argument")


def _notes(source: str, photos: list[Photo], folder: Path) -> list[str]:
    notes = []
    splits = sorted({part for p in photos for part in PurePosixPath(p.name).parent.parts if part.lower() in SPLITS})
    if splits:
        notes.append(f"{source}: its split ({', '.join(splits)}) is not kept: groups are dealt out anew")
    scenes = {p.group for p in photos if p.group != f"{source}:{p.name}"}
    if scenes:
        notes.append(f"{source}: {len(scenes)} folders inside class folders are taken for one person or scene each")
    return notes
