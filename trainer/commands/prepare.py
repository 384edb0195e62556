"""``trainer prepare``: arguments in, one call, tables out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from edge.errors import UsageError
from trainer.commands.terminal import app, progress, say

if TYPE_CHECKING:
    from edge.detect import Detector
    from trainer.faces.leaks import Leak
    from trainer.faces.manifest import FaceRow
    from trainer.faces.photos import Dropped

DETECTORS: Final = ("yunet", "centerface")


@app.command(epilog="Example: trainer prepare photos/street photos/office --map bare=no_mask --out faces/")
def prepare(
    *,
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Each with mask/, no_mask/ (and incorrect/) at any depth, with a labels.csv, or with Pascal VOC "
            "annotations. A folder's name is its source.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="WORD=LABEL", help="What a folder or label of another name means."),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns photo,label: labels put right by hand, or `doubtful` to leave out."),
    ] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="A source to hold groups out of; default: all.")] = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of faces held out; 0: none, to judge a model.")
    ] = 0.2,
    same_people: Annotated[
        list[str] | None, typer.Option(metavar="A=B", help="Sources that number the same people alike.")
    ] = None,
    detector: Annotated[str, typer.Option(help=f"One of auto, {', '.join(DETECTORS)}.")] = "auto",
    detector_file: Annotated[
        Path | None, typer.Option(help="Its ONNX file; default: the one that `edge model fetch` brings.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Find and cut the faces of labelled photos, drop copies, and hold whole groups out."""
    from trainer.faces import prepare as made
    from trainer.faces.corrections import correct, read_corrections
    from trainer.faces.labels import Naming
    from trainer.faces.sources import read_sources, source_name

    naming = Naming(names or ())
    right = read_corrections(corrections) if corrections else {}
    pairs = [_pair(text) for text in same_people or ()]
    sources = sorted(map(source_name, folders))
    made.refuse_unknown_sources([name for pair in pairs for name in pair], sources, "--same-people")
    found = read_sources(folders, naming, pairs)
    naming.refuse_unmet()
    found = correct(found, right) if corrections else found
    with made.new_folder(out):
        finder = open_detector(detector, detector_file)
        for note in found.notes:
            say(note)
        with progress("finding faces", len({p.path for p in found.photos})) as advance:
            done = made.prepare(
                found, finder, out, held_out_sources=held_out or [], share=share, seed=seed, tick=lambda: advance(1)
            )
    say(kept_table(done.rows))
    say(dropped_table(done.dropped))
    say(leak_table(done.leaks))
    for warning in done.warnings:
        say(f"warning: {warning}")
    say(f"{len(done.rows):,} faces are in {out}, {len(done.dropped):,} dropped ones are named in its dropped.csv")
    say(f"look at its sheet-*.jpg {next_step(out, share)}")


def next_step(out: Path, share: float) -> str:
    """What to do with the set; one without held-out faces is to judge a model by."""
    if share:
        return f"before you train: trainer train {shlex.quote(str(out))} --out RUN"
    return f"before you judge a model by all of it: trainer evaluate MODEL --data {shlex.quote(str(out))} --split all"


def _pair(text: str) -> tuple[str, str]:
    first, equals, other = text.partition("=")
    if not (first and equals and other):
        raise UsageError(f"--same-people {text!r} must be SOURCE=SOURCE")
    return first, other


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


def kept_table(rows: Sequence[FaceRow]) -> Table:
    """Faces kept, per source and label: for training, held out, and in how many groups."""
    table = Table("source", "label", "train", "held out", "groups")
    for source, label in sorted({(r.source, r.label) for r in rows}):
        own = [r for r in rows if (r.source, r.label) == (source, label)]
        split = Counter(r.split for r in own)
        numbers = (split["train"], split["held_out"], len({r.group for r in own}))
        table.add_row(_printable(source), label, *(f"{n:,}" for n in numbers))
    return table


def dropped_table(dropped: Sequence[Dropped]) -> Table:
    """Faces and files dropped, per source and reason."""
    table = Table("source", "dropped because", "faces")
    for (source, reason), n in sorted(Counter((d.source, d.reason) for d in dropped).items()):
        table.add_row(_printable(source), _printable(reason), f"{n:,}")
    return table


def leak_table(leaks: Sequence[Leak]) -> Table:
    """How well something trivial predicts the class: balanced accuracy, 50% is chance."""
    table = Table("told by", "mask or no_mask", "incorrect or not")
    for leak in leaks:
        figures = ("-" if v is None else f"{v:.1%}" for v in (leak.wears, leak.badly))
        table.add_row(leak.how, *figures, style="bold" if leak.is_warned else "")
    return table


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()  # a file name need not be UTF-8
