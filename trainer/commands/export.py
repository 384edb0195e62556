"""``trainer export``: a run made into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.errors import UsageError
from trainer.commands.terminal import app, say


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
    from trainer.ship import bundle

    if not int8:
        raise UsageError("only --int8 can be exported by this version: add --int8")
    naming = bundle.Naming(name or out.name, version, golden)
    bundle.refuse_foreign(out)
    made = bundle.quantized(run, data)
    say(bundle.write_bundle(made, run, data, naming, out))
    for line in bundle.summary(made):
        say(line)
