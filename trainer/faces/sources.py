"""A folder is a source: told by a ``labels.csv``, by Pascal VOC annotations, or by folders named after labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edge.errors import DataError, InputMissing, UsageError
from trainer.faces.class_folders import read_class_folders
from trainer.faces.groups import join_groups
from trainer.faces.labels import LABELS, Naming
from trainer.faces.photos import Found
from trainer.faces.tables import TABLE, read_table
from trainer.faces.voc import annotation_files, read_voc


def read_sources(
    folders: Sequence[Path], naming: Naming | None = None, same_people: Sequence[tuple[str, str]] = ()
) -> Found:
    """The labelled photos of all folders, in groups that must not be split.

    same_people: pairs of sources that number the same people alike. Raises InputMissing, DataError or UsageError with
    the remedy.
    """
    refuse_same_names(folders)
    everything = Found()
    for folder in folders:
        if not folder.is_dir():
            raise InputMissing(f"no folder {folder}: name folders with a labels.csv or with mask/ and no_mask/")
        found = read_source(folder, naming or Naming())
        everything.photos += found.photos
        everything.dropped += found.dropped
        everything.taken_together += found.taken_together
        everything.notes += found.notes
    everything.photos = join_groups(everything.photos, everything.taken_together, same_people)
    return everything


def read_source(folder: Path, naming: Naming) -> Found:
    """One folder, by what it holds. Raises DataError where it holds no labelled photo."""
    source = source_name(folder)
    if (folder / TABLE).is_file():
        found = read_table(folder, source, naming)
    elif annotation_files(folder):
        found = read_voc(folder, source, naming)
    else:
        found = read_class_folders(folder, source, naming)
    if not found.photos:
        words = ", ".join(sorted({d.label for d in found.dropped if d.label})[:8]) or "none"
        raise DataError(
            f"{folder} holds no labelled photo: known labels are {', '.join(LABELS)}, it has {words}; "
            "say which is which, as in --map bare=no_mask"
        )
    return found


def source_name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name  # noqa: PTH100 - resolve() would follow a link, whose name is the source's


def refuse_same_names(folders: Sequence[Path]) -> None:
    """Raise UsageError where two folders would become one source."""
    by_name: dict[str, Path] = {}
    for folder in folders:
        name = source_name(folder)
        if name in by_name:
            raise UsageError(
                f"{by_name[name]} and {folder} are both called {name}, and a folder's name is its source: rename one"
            )
        by_name[name] = folder
