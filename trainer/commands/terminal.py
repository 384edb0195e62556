"""The command line's own things: the application, and what a person at a terminal sees. Data goes to stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="From labelled photos to a model bundle for mask-edge.",
    epilog="Example: trainer prepare photos/ --out faces/ && trainer train faces/ --out run/ "
    "&& trainer export run/ --int8 --data faces/ --out models/my-door",
)


class Split(StrEnum):
    """Which faces of a prepared set are judged; ``trainer.faces.manifest`` has the first two."""

    held_out = "held_out"
    train = "train"
    all = "all"


console = Console(stderr=True, highlight=False, markup=False)  # a file may be called [bold]


def say(what: str | Table) -> None:
    """A line or a table for a person; a long line is left to the terminal to wrap."""
    console.print(what, soft_wrap=isinstance(what, str))


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, silence elsewhere; gives a function that takes how much more is done."""
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
