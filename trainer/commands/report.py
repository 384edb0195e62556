"""``trainer report``: a run on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.commands.terminal import Split, app, progress, say

if TYPE_CHECKING:
    from trainer.judge.costs import Costs
    from trainer.judge.page import Material


@app.command(epilog="Example: trainer report run/ --data faces/ --bundle models/my-door --out report.html")
def report(
    *,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    data: Annotated[Path, typer.Option(help="The prepared set it was trained on.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to make or replace.")],
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle made of it, to be judged in its place; the float run is set beside.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Faces to judge on.")] = Split.held_out,
    left_out_runs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Runs that each left a source out, for the leave-one-source-out table."),
    ] = None,
    cost_missed: Annotated[
        float, typer.Option(min=0.0, help="Cost of a bare face called mask; a masked one called no_mask costs 1.")
    ] = 1.0,
    cost_worn: Annotated[float, typer.Option(min=0.0, help="Cost of a badly worn mask called mask.")] = 1.0,
    pictures: Annotated[bool, typer.Option(help="Show faces of the set.")] = True,
) -> None:
    """Make one HTML page of a run: how good, where not, how trained. It holds pictures of people unless told not to."""
    from trainer.judge import page
    from trainer.judge.costs import Costs
    from trainer.judge.left_out import refuse_no_runs

    page.refuse_place(out)
    if left_out_runs:
        refuse_no_runs(left_out_runs)
    costs = Costs(cost_missed, cost_worn)
    material = _material(
        run, data, bundle=bundle, split=split, left_out_runs=left_out_runs, costs=costs, pictures=pictures
    )
    page.write_page(out, material)
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB" + ("; contains pictures of people: do not pass on" * pictures))


def _material(
    run: Path,
    data: Path,
    *,
    bundle: Path | None,
    split: str,
    left_out_runs: Path | None,
    costs: Costs,
    pictures: bool,
) -> Material:
    from trainer.judge.evaluate import faces
    from trainer.judge.judgement import judge
    from trainer.judge.left_out import judge_runs
    from trainer.judge.models import open_model
    from trainer.judge.origins import refuse_other_run
    from trainer.judge.page import Material
    from trainer.learn.runs import read_run, refuse_other_set

    record = read_run(run)
    refuse_other_set(record, data)
    rows = faces(data, split)
    models = [open_model(run)]
    if bundle:
        made = open_model(bundle)
        refuse_other_run(bundle, made.origin, record, data)
        models = [made, replace(models[0], calibration=made.calibration, threshold=made.threshold)]
    with progress("judging", 2 * len(rows) * len(models)) as advance:
        shown, *beside = (judge(model, data, rows, costs, advance) for model in models)
    table = judge_runs(left_out_runs, data) if left_out_runs else None
    return Material(record, shown, beside[0] if beside else None, table, pictures)
