"""Scenes annotated as Pascal VOC: one XML file per picture, beside the pictures or in ``annotations/``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from edge.errors import DataError
from edge.records import Box
from edge.sources.images import images_in, natural_key
from trainer.faces.labels import Naming
from trainer.faces.photos import Dropped, Found, Photo, drop
from trainer.faces.tables import BAD_BOX, read_box

ANNOTATION_FOLDERS: Final = ("annotations",)
PICTURE_FOLDERS: Final = ("images", "jpegimages", "annotations")


def annotation_files(folder: Path) -> list[Path]:
    """The XML files of a source, in natural order; none where it is no VOC folder."""
    return sorted((x for f in _folders(folder, ANNOTATION_FOLDERS) for x in f.glob("*.xml")), key=natural_key)


def _folders(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """A source's folder and those in it of these names, in capitals or not."""
    yield folder
    yield from sorted(p for p in folder.iterdir() if p.is_dir() and p.name.lower() in names)


def read_voc(folder: Path, source: str, naming: Naming) -> Found:
    """Every object of every annotation. Raises DataError where no annotation names a known label."""
    found = Found()
    pictures = {p.name: p for f in _folders(folder, PICTURE_FOLDERS) for p in images_in(f)}
    stems = {p.stem: p for p in pictures.values()}
    used = set()
    for xml in annotation_files(folder):
        try:
            root = ElementTree.parse(xml).getroot()
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            found.drop(source, xml.relative_to(folder).as_posix(), "", "annotation cannot be read", str(error))
            used.add(stems.get(xml.stem))
            continue
        named = Path((root.findtext("filename") or "").strip()).name
        # Tools rename pictures and forget <filename>; the XML's own name is the better witness then.
        path = pictures.get(named) or stems.get(xml.stem) or folder / (named or f"{xml.stem}.jpg")
        used.add(path)
        name = path.relative_to(folder).as_posix()
        for face in _faces(root, Photo(path, source, name, "", f"{source}:{name}"), naming):
            found.add(face)
    for path in pictures.values():
        if path not in used:
            found.drop(source, path.relative_to(folder).as_posix(), "", "no annotation")
    if not found.photos:
        words = sorted({d.label for d in found.dropped if d.label})
        seen = f"its objects are called {', '.join(words[:8])}" if words else "its annotations hold no object"
        raise DataError(f"{folder} has no face with a known label, {seen}: say which is which, as in --map NAME=mask")
    return found


def _faces(root: ElementTree.Element, photo: Photo, naming: Naming) -> Iterator[Photo | Dropped]:
    """The objects of one annotation. photo: its picture, without label and box."""
    objects = root.findall("object")
    if not objects:
        yield drop(photo, "annotation without an object")
    for each in objects:
        word = (each.findtext("name") or "").strip()
        label = naming.label(word)
        if label is None:
            yield drop(replace(photo, label=word), f"label {word!r} is not known")
            continue
        try:
            yield replace(photo, label=label, box=_box(each))
        except ValueError as error:
            yield drop(replace(photo, label=label), BAD_BOX, str(error))


def _box(each: ElementTree.Element) -> Box | None:
    corners = (each.findtext(f"bndbox/{side}") or "" for side in ("xmin", "ymin", "xmax", "ymax"))
    left, top, right, bottom = (float(text) for text in corners)
    return read_box(str(left), str(top), str(right - left), str(bottom - top))
