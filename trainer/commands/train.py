"""``trainer train``: arguments in, one call, a line an epoch out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.terminal import app, progress, say


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
    from trainer.learn import fit, runs

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
