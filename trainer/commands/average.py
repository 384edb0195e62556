"""``trainer average``: several runs into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.errors import UsageError
from trainer.commands.terminal import app, say


@app.command(epilog="Example: trainer average run/ run-on/ --out mean/")
def average(
    *,
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Runs that started from one another.")],
    out: Annotated[Path, typer.Option(help="Run folder of the mean.")],
) -> None:
    """Make one run of several: the mean of their weights. A run and one that goes on from it (`--start-from`) often do
    better together than each, above all on sources that they have not seen and as integers."""
    from trainer.learn import mean, runs

    if len(folders) < 2:
        raise UsageError("one run is its own mean: name two or more")
    runs.refuse_taken(out)
    run = mean.mean_of_runs(folders, out)
    assert run.best  # a mean is judged once, and that is it
    say(f"kept: {runs.describe(run.best, 1)}")
