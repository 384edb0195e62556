"""``trainer train``: arguments in, one call, a line an epoch out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.errors import UsageError
from trainer.commands.terminal import app, progress, say
from trainer.learn.runs import Settings

DEFAULTS: Final[Mapping[str, Any]] = {f.name: f.default for f in fields(Settings)}
PATHS: Final = frozenset(("data", "weights", "start_from"))


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


def _by_default(name: str) -> str:
    return f"Default {DEFAULTS[name]}."


@app.command(epilog="Example: trainer train faces/ --weights mobilenet_v2.weights.h5 --out run/")
def train(
    *,
    data: Annotated[Path, typer.Argument(metavar="FACES", help="A prepared set.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    recipe: Annotated[
        RecipeName | None,
        typer.Option(help=f"Ours, or one of 2020's that are kept as yardsticks. {_by_default('recipe')}"),
    ] = None,
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
    epochs: Annotated[
        int | None, typer.Option(min=1, help=f"{_by_default('epochs')} Recipes of 2020 have their own.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help=f"Faces per epoch. {_by_default('draws')}")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help=_by_default("batch"))] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0, help=f"Learning rate at its height. {_by_default('rate')}")
    ] = None,
    input_px: Annotated[
        int | None, typer.Option(min=32, max=224, help=f"Side of the crop. {_by_default('input_px')}")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0.1, max=1.4, help=f"Width of the network. {_by_default('alpha')}")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=0.5, help=f"Share of the box's longer side added on every side. {_by_default('margin')}"
        ),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.9999, help=f"Decay of the weights' running average. {_by_default('average')}"),
    ] = None,
    pasted: Annotated[
        Pasted | None,
        typer.Option(help=f"Masks put on other faces: of real ones, drawn, or both. {_by_default('pasted')}"),
    ] = None,
    strategy: Annotated[
        StrategyName | None,
        typer.Option(
            help=f"One device, all of this machine, or several machines (TF_CONFIG). {_by_default('strategy')}"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help=_by_default("seed"))] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that make crops. Default one per core but one, at least one.")
    ] = None,
) -> None:
    """Train on a prepared set. Ctrl-C leaves the last whole epoch; go on with --resume."""
    from trainer.learn import fit, runs, strategies

    options = {
        "recipe": recipe and recipe.value,
        "weights": weights,
        "start_from": str(start_from.absolute()) if start_from else None,
        "unseen": tuple(unseen) if unseen else None,
        "leave_out": tuple(leave_out) if leave_out else None,
        "epochs": epochs,
        "draws": draws,
        "batch": batch,
        "rate": rate,
        "input_px": input_px,
        "alpha": alpha,
        "margin": margin,
        "average": average,
        "pasted": pasted and pasted.value,
        "strategy": strategy and strategy.value,
        "seed": seed,
    }
    asked = _plain({"data": str(data.absolute())} | {k: v for k, v in options.items() if v is not None})
    settings = _resumed(runs.read_run(out).settings, asked) if resume else _of_recipe(asked)
    first = settings.strategy != strategies.MULTIWORKER or not strategies.worker_number()
    if first and not resume:  # the first worker keeps the folder
        runs.refuse_taken(out)
    workers = workers or max(1, (os.cpu_count() or 1) - 1)  # the network needs one itself
    try:
        run = fit.train(settings, out, resume=resume, telling=fit.Telling(say, progress), workers=workers)
    except KeyboardInterrupt:
        if (out / runs.RUN).is_file():
            say("it goes on where it was with --resume")
        raise
    if run.best:
        say(f"kept: {runs.describe(run.best, run.settings.epochs)}")


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    """As settings have it: None for random weights, a whole path for those of a file."""
    match asked.get("weights"):
        case None | "imagenet":
            return asked
        case "random":
            return {**asked, "weights": None}
        case file:
            return {**asked, "weights": str(Path(file).absolute())}


def _resumed(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """The run's own settings; what is asked for beside them must not differ."""
    own = asdict(settings)
    if other := sorted(k for k, v in asked.items() if v != own[k] and not (k in PATHS and _is_same(v, own[k]))):
        raise UsageError(
            f"{_spelled(other)} cannot differ from the run's own with --resume: leave it out, or name a new --out"
        )
    return settings


def _is_same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and Path(one).resolve() == Path(other).resolve()


def _of_recipe(asked: Mapping[str, Any]) -> Settings:
    """The recipe's own settings, and over them what was asked for; what is part of the recipe cannot be."""
    from trainer.learn.recipes import PLANS

    if "weights" in asked and "start_from" in asked:
        raise UsageError("--weights and --start-from are two places to start from: give one")
    name = asked.get("recipe", DEFAULTS["recipe"])
    plan = PLANS[name]
    if fixed := sorted(asked.keys() & plan.fixed):
        raise UsageError(f"{_spelled(fixed)} cannot be set: part of the recipe {name}")
    return Settings(**{"weights": "imagenet", **plan.preset, **asked})


def _spelled(names: Sequence[str]) -> str:
    return ", ".join("FACES" if n == "data" else "--" + n.replace("_", "-") for n in names)
