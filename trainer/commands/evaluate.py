"""``trainer evaluate``: a model judged on a prepared set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import UsageError
from trainer.commands.terminal import Split, app, progress, say

if TYPE_CHECKING:
    from trainer.faces.manifest import FaceRow
    from trainer.judge.judgement import Judgement


@app.command(epilog="Example: trainer evaluate models/mask-mnv2 --data faces/ --worst worst.jpg")
def evaluate(
    *,
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A bundle, a .tflite file, or a run folder (float); with --left-out also a folder of runs.",
        ),
    ],
    data: Annotated[Path, typer.Option(help="A prepared set.")],
    split: Annotated[Split | None, typer.Option(help="Which faces; default: held_out.")] = None,
    left_out: Annotated[
        bool,
        typer.Option(
            "--left-out",
            help="Judge on the sources that a run was trained without (`trainer train --leave-out`).",
        ),
    ] = False,
    cost_missed: Annotated[
        float, typer.Option(min=0.0, help="Cost of a bare face called mask; a masked one called no_mask costs 1.")
    ] = 1.0,
    cost_worn: Annotated[float, typer.Option(min=0.0, help="Cost of a badly worn mask called mask.")] = 1.0,
    worst: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the surest mistakes into a .jpg or .png; it shows faces.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Judge a model on a prepared set."""
    from trainer.judge import left_out as leaving
    from trainer.judge.costs import Costs
    from trainer.judge.judgement import judge
    from trainer.judge.mistakes import refuse_place
    from trainer.judge.models import open_model

    costs = Costs(cost_missed, cost_worn)
    if left_out and split:
        raise UsageError("--left-out judges every face of the sources left out: leave --split away")
    if left_out and leaving.is_folder_of_runs(model):
        if worst:
            raise UsageError("--worst shows the mistakes of one model: name one run, not a folder of runs")
        _table(model, data, as_json)
        return
    if worst:
        refuse_place(worst)
    rows = _faces(model, data, split or Split.held_out, left_out)
    opened = open_model(model)
    with progress("judging", 2 * len(rows)) as advance:
        judged = judge(opened, data, rows, costs, advance)
    if worst:
        _draw(judged, worst)
    _tell(judged, as_json)


def _table(runs: Path, data: Path, as_json: bool) -> None:
    from trainer.judge import left_out

    with progress("judging runs", len(list(runs.glob("*/run.json")))) as advance:
        table = left_out.judge_runs(runs, data, advance)
    print(json.dumps(left_out.as_json(table)) if as_json else "\n".join(left_out.as_lines(table)))


def _faces(model: Path, data: Path, split: str, left_out: bool) -> list[FaceRow]:
    from trainer.judge.evaluate import faces
    from trainer.judge.left_out import faces_left_out, sources_left_out

    return faces_left_out(data, sources_left_out(model)) if left_out else faces(data, split)


def _draw(judged: Judgement, worst: Path) -> None:
    from trainer.judge.mistakes import MOST, write_sheet

    found = judged.mistakes(MOST)
    if not found:
        say(f"no mistake among {len(judged.rows)} faces: {worst} is not made")
        return
    write_sheet(worst, found, judged.folder, judged.model)
    say(f"{worst}: the {len(found)} surest mistakes; contains pictures of people: do not pass on")


def _tell(judged: Judgement, as_json: bool) -> None:
    from trainer.judge.tables import as_lines

    print(json.dumps(judged.as_json()) if as_json else "\n".join(as_lines(judged.report, judged.detail)))
