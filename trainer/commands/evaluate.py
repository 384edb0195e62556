"""``trainer evaluate``: a model judged on a prepared set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.terminal import app, progress


@app.command(epilog="Example: trainer evaluate models/mask-mnv2 --data faces/ --json")
def evaluate(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle, a .tflite file, or a run folder (float).")],
    data: Annotated[Path, typer.Option(help="A prepared set.")],
    split: Annotated[str, typer.Option(help="held_out, train or all.")] = "held_out",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Judge a model on a prepared set."""
    from trainer.judge import evaluate as judged
    from trainer.judge.models import open_model

    rows = judged.faces(data, split)
    opened = open_model(model)
    with progress("judging", len(rows)) as advance:
        logits = judged.answers(opened, data, rows, advance)
    said = judged.report(opened.name, logits, rows, opened.calibration, opened.threshold)
    print(json.dumps(judged.as_json(said)) if as_json else "\n".join(judged.as_lines(said)))
