"""``trainer train``: arguments in, one call, a line an epoch out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.errors import UsageError
from trainer.commands.terminal import app, progress, say


class RecipeName(StrEnum):
    """``trainer.learn.recipes.PLANS`` has the same; that module is not imported for ``--help``."""

    mobilenet_v2 = "mobilenet_v2"
    reference = "reference"
    baseline_cnn = "baseline_cnn"


class Pasted(StrEnum):
    off = "off"
    transplants = "transplants"
    drawn = "drawn"
    both = "both"


class StrategyName(StrEnum):
    one = "one"
    mirrored = "mirrored"
    multiworker = "multiworker"


@app.command(epilog="Example: trainer train faces/ --weights mobilenet_v2.weights.h5 --out run/")
def train(
    *,
    data: Annotated[Path, typer.Argument(metavar="FACES", help="A prepared set.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    recipe: Annotated[
        RecipeName, typer.Option(help="Ours, or one of 2020's that are kept as yardsticks.")
    ] = RecipeName.mobilenet_v2,
    weights: Annotated[
        str | None,
        typer.Option(help="A MobileNetV2 .weights.h5 file, `imagenet` (downloads them; the default), or `random`."),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="A run whose best weights to start from, instead of --weights.")
    ] = None,
    unseen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Not trained on; its score picks the best epoch. Repeatable. `auto` (the default) spares one; "
            "`none` trains on all and keeps the last weights.",
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Takes no part at all. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, by its own settings.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default 18; the others' own 15 and 50.")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Faces per epoch. Default 6000.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Default 48.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.0, help="Learning rate at its height. Default 0.0004.")] = None,
    input_px: Annotated[int | None, typer.Option(min=32, max=224, help="Side of the crop. Default 128.")] = None,
    alpha: Annotated[float | None, typer.Option(min=0.1, max=1.4, help="Width of the network. Default 1.")] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the box's longer side added on every side.")
    ] = 0.2,
    average: Annotated[
        float | None, typer.Option(min=0.0, max=0.9999, help="Decay of the weights' running average. Default 0.995.")
    ] = None,
    pasted: Annotated[
        Pasted | None, typer.Option(help="Masks put on other faces: of real ones, drawn, or both. Default off.")
    ] = None,
    strategy: Annotated[
        StrategyName, typer.Option(help="One device, all of this machine, or several machines (TF_CONFIG).")
    ] = StrategyName.one,
    seed: Annotated[int, typer.Option()] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make crops.")] = 1,
) -> None:
    """Train on a prepared set. Ctrl-C leaves the last whole epoch; go on with --resume."""
    from trainer.learn import fit, runs, strategies

    chosen = {
        "weights": weights,
        "start_from": str(start_from) if start_from else None,
        "epochs": epochs,
        "draws": draws,
        "batch": batch,
        "rate": rate,
        "input_px": input_px,
        "alpha": alpha,
        "average": average,
        "pasted": pasted.value if pasted else None,
    }
    settings = runs.Settings(
        data=str(data),
        recipe=recipe.value,
        unseen=tuple(unseen or ("auto",)),
        leave_out=tuple(leave_out or ()),
        margin=margin,
        strategy=strategy.value,
        seed=seed,
        **_of_recipe(recipe.value, chosen),
    )
    if strategy is not StrategyName.multiworker or not strategies.worker_number():  # the first one keeps the folder
        runs.refuse_taken(out, resume)
    run = fit.train(settings, out, resume=resume, telling=fit.Telling(say, progress), workers=workers)
    if run.best:
        say(f"kept: {runs.describe(run.best, run.settings.epochs)}")


def _of_recipe(name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The recipe's own settings, and over them what was asked for; what is part of the recipe cannot be."""
    from trainer.learn.recipes import PLANS

    plan = PLANS[name]
    asked = {k: v for k, v in chosen.items() if v is not None}
    if fixed := sorted(asked.keys() & plan.fixed):
        options = ", ".join("--" + k.replace("_", "-") for k in fixed)
        raise UsageError(f"{options} cannot be set: part of the recipe {name}")
    settings = {"weights": "imagenet", **plan.preset, **asked}
    return {**settings, "weights": None if settings["weights"] == "random" else settings["weights"]}
