"""The commands of ``trainer``: arguments in, one call, lines out. Human text goes to stderr, data to stdout."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge import __version__
from edge.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from edge.detect import Detector
    from trainer.prepare import Cutting

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="From labelled photos to a model bundle for mask-edge.",
    epilog="Example: trainer prepare photos/ --out faces/ && trainer train faces/ --out run/ "
    "&& trainer export run/ --int8 --data faces/ --out models/my-door",
)
console = Console(stderr=True, highlight=False)

DETECTORS: Final = ("yunet", "centerface")


def _version(asked: bool) -> None:
    if asked:
        print(f"trainer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """From labelled photos to a model bundle for mask-edge."""


def say(what: str | Table) -> None:
    """A line or a table for a person; a long line is left to the terminal to wrap."""
    console.print(what, soft_wrap=isinstance(what, str))


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, silence elsewhere; gives a function that takes how much more is done."""
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


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
    from trainer import prepare as made

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


@app.command(epilog="Example: trainer train faces/ --weights mobilenet_v2.weights.h5 --epochs 12 --out run/")
def train(
    *,
    data: Annotated[Path, typer.Argument(metavar="FACES", help="A prepared set.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    weights: Annotated[
        str, typer.Option(help="A MobileNetV2 .weights.h5 file, `imagenet` (downloads them), or `random`.")
    ] = "imagenet",
    start_from: Annotated[
        Path | None, typer.Option(help="A run whose best weights to start from, instead of --weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, by its own settings.")] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 12,
    draws: Annotated[int, typer.Option(min=1, help="Faces per epoch.")] = 6000,
    batch: Annotated[int, typer.Option(min=1)] = 48,
    rate: Annotated[float, typer.Option(min=0.0, help="Learning rate at its height.")] = 4e-4,
    input_px: Annotated[int, typer.Option(min=32, max=224, help="Side of the crop.")] = 128,
    alpha: Annotated[float, typer.Option(min=0.1, max=1.4, help="Width of the network.")] = 1.0,
    margin: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the box's longer side added on every side.")
    ] = 0.2,
    average: Annotated[float, typer.Option(min=0.0, max=0.9999, help="Decay of the weights' running average.")] = 0.995,
    transplants: Annotated[bool, typer.Option(help="Also put masks of one face onto another.")] = False,
    seed: Annotated[int, typer.Option()] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make crops.")] = 1,
) -> None:
    """Train on a prepared set. Ctrl-C leaves the last whole epoch; go on with --resume."""
    from trainer import fit, runs

    settings = runs.Settings(
        data=str(data),
        weights=None if weights == "random" else weights,
        start_from=str(start_from) if start_from else None,
        epochs=epochs,
        draws=draws,
        batch=batch,
        rate=rate,
        input_px=input_px,
        alpha=alpha,
        margin=margin,
        average=average,
        transplants=transplants,
        seed=seed,
    )
    runs.refuse_taken(out, resume)
    with progress("training", epochs * settings.steps) as advance:
        run = fit.train(settings, out, resume=resume, tell=say, tick=lambda: advance(1), workers=workers)
    if run.best:
        say(f"best: {runs.describe(run.best, epochs)}")


@app.command(epilog="Example: trainer export run/ --int8 --data faces/ --out models/my-door")
def export(
    *,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to make or replace.")],
    data: Annotated[Path, typer.Option(help="The prepared set it was trained on.")],
    int8: Annotated[bool, typer.Option("--int8", help="Full integer, uint8 in and out: what devices run.")] = False,
    name: Annotated[str | None, typer.Option(help="Bundle name; default: the last part of --out.")] = None,
    version: Annotated[str, typer.Option(help="Bundle version.")] = "1",
    golden: Annotated[Path | None, typer.Option(help="Folder of PNG crops that may be shipped with it.")] = None,
) -> None:
    """Quantize a run into a model bundle and measure it on held-out faces."""
    from trainer import bundle

    if not int8:
        raise UsageError("only --int8 can be exported by this version: add --int8")
    naming = bundle.Naming(name or out.name, version, golden)
    bundle.refuse_foreign(out)
    made = bundle.quantized(run, data)
    say(bundle.write_bundle(made, run, data, naming, out))
    for line in bundle.summary(made):
        say(line)


@app.command(epilog="Example: trainer evaluate models/mask-mnv2 --data faces/ --json")
def evaluate(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle, a .tflite file, or a run folder (float).")],
    data: Annotated[Path, typer.Option(help="A prepared set.")],
    split: Annotated[str, typer.Option(help="held_out, train or all.")] = "held_out",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Judge a model on a prepared set."""
    from trainer import evaluate as judged
    from trainer.judged import open_model

    rows = judged.faces(data, split)
    opened = open_model(model)
    with progress("judging", len(rows)) as advance:
        logits = judged.answers(opened, data, rows, advance)
    said = judged.report(opened.name, logits, rows, opened.calibration, opened.threshold)
    print(json.dumps(judged.as_json(said)) if as_json else "\n".join(judged.as_lines(said)))


USAGE_MISTAKE: Final = typer.BadParameter.__bases__[0]  # click's UsageError; typer carries a click of its own


def run_command(argv: Sequence[str] | None) -> int:
    """Parse and run; what typer raises becomes ours."""
    try:
        result = app(args=None if argv is None else list(argv), prog_name="trainer", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        if not isinstance(error, USAGE_MISTAKE):
            raise
        said: str = getattr(error, "format_message", error.__str__)()
        raise UsageError(f"{said.rstrip('.')}: see 'trainer --help'") from error
    sys.stdout.flush()
    return result if isinstance(result, int) else 0
