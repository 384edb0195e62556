"""``trainer export``: a run made into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge.errors import UsageError
from trainer.commands.terminal import app, progress, say

if TYPE_CHECKING:
    from trainer.ship.gates import Gate


@app.command(epilog="Example: trainer export run/ --int8 --data faces/ --out models/my-door")
def export(
    *,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to make or replace.")],
    data: Annotated[Path, typer.Option(help="The prepared set it was trained on.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Full integer, uint8 in and out: what devices run; the default.")
    ] = False,
    float16: Annotated[bool, typer.Option("--float16", help="Float with float16 weights, for other programs.")] = False,
    float32: Annotated[bool, typer.Option("--float32", help="Float, for other programs.")] = False,
    name: Annotated[str | None, typer.Option(help="Bundle name; default: the last part of --out.")] = None,
    version: Annotated[str, typer.Option(help="Bundle version.")] = "1",
    golden: Annotated[
        Path | None, typer.Option(help="PNG crops that may be shipped with it; default: patterns.")
    ] = None,
    edgetpu: Annotated[
        bool, typer.Option("--edgetpu", help="Also compile for a Coral Edge TPU; needs edgetpu_compiler.")
    ] = False,
    tflite_python: Annotated[
        Path | None,
        typer.Option(help="A Python that has tflite-runtime; default: that of .venv-tflite in the source tree."),
    ] = None,
    latency_limit: Annotated[
        float, typer.Option(min=0.1, help="How much slower than the shipped model it may be, in times of its latency.")
    ] = 1.5,
) -> None:
    """Make a run into a model bundle, measure it on held-out faces, and refuse it where a gate does."""
    from trainer.ship import bundle, exported, runtimes
    from trainer.ship import edgetpu as coral

    chosen = [k for k, asked in ((exported.FLOAT16, float16), (exported.FLOAT32, float32)) if asked]
    if len(chosen) + int8 > 1:
        raise UsageError("--int8, --float16 and --float32 exclude one another: name one of them")
    if edgetpu and chosen:
        raise UsageError(f"an Edge TPU runs integers only: leave --{chosen[0]} or --edgetpu out")
    naming = bundle.Naming(name or out.name, version, golden)
    bundle.refuse_early(run, naming, out)
    asked = exported.Asked(
        kind=chosen[0] if chosen else exported.INT8,
        tflite_python=runtimes.find_tflite_python(tflite_python),
        compiler=coral.find_compiler() if edgetpu else None,
        latency_limit=latency_limit,
    )
    with progress("exporting", exported.STAGES) as tick:
        made = exported.export_run(run, data, asked, tick)
    say(gate_table(made.gates))
    for gate in made.gates:
        if gate.verdict != "pass":
            say(f"{gate.verdict}: {gate.name}: {gate.note}{f' ({gate.detail})' if gate.detail else ''}")
    said = bundle.write_bundle(made, run, data, naming, out)
    for line in (said, *bundle.summary(made)):
        say(line)


def gate_table(gates: tuple[Gate, ...]) -> Table:
    """Every check, those that were not run too."""
    table = Table("check", "found", "limit", "verdict")
    for gate in gates:
        table.add_row(gate.name, gate.found, gate.wanted, gate.verdict)
    return table
