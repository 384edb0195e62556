"""Scenes annotated as Pascal VOC: one XML file per picture, beside the pictures or in ``annotations/``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from edge.errors import DataError
from edge.records import Box
from edge.sources.images import natural_key
from trainer.faces.groups import bursts, times_taken
from trainer.faces.labels import Naming
from trainer.faces.photos import Dropped, Found, Photo, drop, pictures_in
from trainer.faces.tables import BAD_BOX, read_box

ANNOTATIONS: Final = "annotations"
SAY_NOTHING: Final = (ANNOTATIONS, "images", "jpegimages")  # folders that part annotations from pictures


def annotation_files(folder: Path) -> list[Path]:
    """The XML files in a source, and at any depth of its ``annotations/``; none where it is no VOC folder."""
    below = [p for p in folder.iterdir() if p.is_dir() and p.name.lower() == ANNOTATIONS]
    return sorted([*folder.glob("*.xml"), *(xml for f in below for xml in f.rglob("*.xml"))], key=natural_key)


class Pictures:
    """The pictures of a source, and which of them an annotation is of.

    Tools rename pictures and forget ``<filename>``, so the annotation's own name is the better witness: the picture of
    that name is its, ``images/train/1.jpg`` of ``annotations/train/1.xml``. Only a picture that no annotation is called
    after can be another's: one of that name in some other folder, or else the one that ``<filename>`` names.
    """

    def __init__(self, folder: Path, annotations: Sequence[Path]) -> None:
        self._folder = folder
        self._annotated = {self._place(xml) for xml in annotations}
        self.all = pictures_in(folder)
        self._at: dict[tuple[str, ...], list[Path]] = {}
        self._free: dict[str, list[Path]] = {}  # by stem
        self._named: dict[str, list[Path]] = {}
        for path in self.all:
            self._at.setdefault(self._place(path), []).append(path)
            self._named.setdefault(path.name, []).append(path)
            if self._is_free(path):
                self._free.setdefault(path.stem, []).append(path)

    def called_like(self, xml: Path) -> list[Path]:
        """Pictures of an annotation's own name; two where they differ in their ending."""
        return self._at.get(self._place(xml)) or self._free.get(xml.stem, [])

    def of(self, xml: Path, filename: str) -> Path:
        """The picture of an annotation that states this file name; one that is not there is the reader's to miss.

        Raises DataError, whose text is the reason to drop it.
        """
        own, named = self.called_like(xml), self._named.get(filename, [])
        if named and not any(path in own for path in named):
            free = [path for path in named if self._is_free(path)]
            if own or not free:
                raise DataError(f"annotation names another picture: {xml.name} names {filename}")
            own = free
        meant = [path for path in own if path.name == filename] or own
        if len(meant) > 1:
            raise DataError(f"annotation may be of several pictures: {', '.join(map(self.name, meant))}")
        return meant[0] if meant else self._folder / (filename or f"{xml.stem}.jpg")

    def name(self, path: Path) -> str:
        """A file's path inside the source."""
        return path.relative_to(self._folder).as_posix()

    def _is_free(self, path: Path) -> bool:
        return self._place(path) not in self._annotated

    def _place(self, path: Path) -> tuple[str, ...]:
        """``("train", "1")`` of ``annotations/train/1.xml`` and of ``images/train/1.jpg``."""
        folders = path.relative_to(self._folder).parent.parts
        return (*(part for part in folders if part.lower() not in SAY_NOTHING), path.stem)


def read_voc(folder: Path, source: str, naming: Naming) -> Found:
    """Every object of every annotation. Raises DataError where no annotation names a known label."""
    found = Found()
    annotations = annotation_files(folder)
    pictures = Pictures(folder, annotations)
    used = set()
    for xml in annotations:
        try:
            root = _root(xml)
            path = pictures.of(xml, Path((root.findtext("filename") or "").strip()).name)
        except DataError as error:
            reason, _, detail = str(error).partition(": ")
            own = pictures.called_like(xml)
            path = own[0] if len(own) == 1 else xml
            found.drop(source, pictures.name(path), "", reason, detail)
        else:
            name = pictures.name(path)
            for face in _faces(root, Photo(path, source, name, "", f"{source}:{name}"), naming):
                found.add(face)
        used.add(path)
    for path in pictures.all:
        if path not in used:
            found.drop(source, pictures.name(path), "", "no annotation")
    if not found.photos:
        words = sorted({d.label for d in found.dropped if d.label})
        seen = f"its objects are called {', '.join(words[:8])}" if words else "its annotations hold no object"
        raise DataError(f"{folder} has no face with a known label, {seen}: say which is which, as in --map NAME=mask")
    found.taken_together = bursts(found.photos, times_taken(found.photos))
    return found


def _root(xml: Path) -> ElementTree.Element:
    """Raises DataError, whose text is the reason to drop the picture."""
    try:
        return ElementTree.parse(xml).getroot()
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"annotation cannot be read: {xml.name}: {why}") from error


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
