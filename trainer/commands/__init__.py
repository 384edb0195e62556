"""The commands of ``trainer``, one module each. Human text goes to stderr, data to stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from edge import __version__
from edge.errors import UsageError
from trainer.commands import (  # noqa: F401 - each puts itself into the application
    average,
    evaluate,
    export,
    prepare,
    report,
    train,
)
from trainer.commands.terminal import app


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


EXIT_INTERRUPTED: Final = 130
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
    if result == EXIT_INTERRUPTED:  # typer's own answer to Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0
