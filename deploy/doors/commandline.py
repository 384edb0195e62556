"""What the commands of this folder have in common on the command line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from edge import __version__
from edge.errors import EXIT_INTERRUPTED, DiskError, EdgeError, UsageError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see '{self.prog} --help'")


def parser(prog: str, about: str, epilog: str) -> Parser:
    made = Parser(prog=prog, description=about, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--version", action="version", version=f"{prog} {__version__}")
    return made


def add_doors(made: Parser) -> None:
    """Which doors, how they are reached, how it is told."""
    add = made.add_argument
    add(
        "hosts", nargs="+", metavar="HOST", help="[user@]host or alias of ssh's; with --inventory a host or group of it"
    )
    add("--inventory", type=Path, metavar="FILE", help="doors, groups and their settings, as Ansible's YAML inventory")
    add("--parallel", type=count, default=5, metavar="N", help="doors at a time (default: 5)")
    add("--json", action="store_true", help="one object on stdout instead of the table")
    add("-F", "--ssh-config", type=Path, metavar="FILE", help="ssh's configuration, instead of the user's")


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def end(made: Parser, act: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
    """Run a command to its exit code: a mistake is one line, never a traceback."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format=f"{made.prog}: %(message)s")
    try:
        return act(made.parse_intermixed_args(argv))
    except EdgeError as error:
        tell(f"{made.prog}: {error}")
        return error.exit_code
    except OSError as error:  # stdout: the doors are as the lines before say
        tell(f"{made.prog}: {of_this_machine(error)}")
        return DiskError.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def tell(text: str) -> None:
    """How it goes on, for people; that nobody reads it is no reason to leave a door half done."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def of_this_machine(error: OSError) -> DiskError:
    """What a file or a folder here would not do."""
    return DiskError(f"{error.filename or 'this machine'}: {error.strerror}", "make room here, or look at permissions")
