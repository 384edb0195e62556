"""``trainer prepare``: arguments in, one call, a table out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from edge.errors import DataError, OutputError, UsageError
from trainer.commands.terminal import app, progress, say

if TYPE_CHECKING:
    from edge.detect import Detector
    from trainer.faces.prepare import Cutting

DETECTORS: Final = ("yunet", "centerface")


@app.command(epilog="Example: trainer prepare photos/street photos/office --held-out office --out faces/")
def prepare(
    *,
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Each with a labels.csv, or with mask/, no_mask/ (and incorrect/)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    held_out: Annotated[list[str] | None, typer.Option(help="A source to hold groups out of; default: all.")] = None,
    share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the faces held out.")] = 0.2,
    same_people: Annotated[
        list[str] | None, typer.Option(metavar="A=B", help="Sources that number the same people alike.")
    ] = None,
    detector: Annotated[str, typer.Option(help=f"One of auto, {', '.join(DETECTORS)}.")] = "auto",
    detector_file: Annotated[
        Path | None, typer.Option(help="Its ONNX file; default: the one that `edge model fetch` brings.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Find and cut the faces of labelled photos, join copies, and hold whole groups out."""
    from trainer.faces import prepare as made

    photos = made.join_people(made.read_sources(folders), [_pair(text) for text in same_people or ()])
    _new_folder(out)
    finder = open_detector(detector, detector_file)
    with progress("finding faces", len({p.path for p in photos})) as advance:
        cutting = made.prepare(
            photos, finder, out, held_out_sources=held_out or [], share=share, seed=seed, tick=lambda: advance(1)
        )
    say(kept_and_dropped(cutting))
    if not cutting.rows:
        raise DataError(f"no face was found in {len(photos)} labelled photos: see the table for the reasons")


def _pair(text: str) -> tuple[str, str]:
    first, equals, other = text.partition("=")
    if not (first and equals and other):
        raise UsageError(f"--same-people {text!r} must be SOURCE=SOURCE")
    return first, other


def _new_folder(path: Path) -> None:
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(f"{path} is not empty: choose another folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path}: {error.strerror}") from error


def open_detector(name: str, file: Path | None) -> Detector:
    """The device's detector with the device's settings."""
    from edge.detect import CenterFace, YuNet
    from edge.errors import InputMissing
    from edge.third_party import is_present, locate

    if name == "auto":
        name = "yunet" if is_present("yunet") else "centerface"
    if name not in DETECTORS:
        raise UsageError(f"detector {name!r} is not known: one of {', '.join(DETECTORS)}")
    if file and not file.is_file():
        raise InputMissing(f"no detector file {file}: leave --detector-file out and run `edge model fetch {name}`")
    onnx = file.read_bytes() if file else locate(name).data
    return YuNet(onnx) if name == "yunet" else CenterFace(onnx)


def kept_and_dropped(cutting: Cutting) -> Table:
    """What became of the photos: kept per source, label and split; dropped per source and reason."""
    table = Table("source", "what", "faces")
    for (source, label, split), n in sorted(Counter((r.source, r.label, r.split) for r in cutting.rows).items()):
        table.add_row(source, f"{label}, {split}", str(n))
    for (source, reason), n in sorted(cutting.dropped.items()):
        table.add_row(source, f"dropped: {reason}", str(n))
    return table
