"""The command line: ``trainer prepare``, ``train``, ``evaluate``, ``export``, ``report``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from edge.errors import DiskError, EdgeError, Unavailable
from trainer.quiet import hush_tensorflow

EXIT_OUR_FAULT: Final = 70
EXIT_INTERRUPTED: Final = 130
EXTRA: Final = frozenset(
    ("typer", "click", "rich", "tensorflow", "keras", "imagehash", "PIL", "sklearn", "jinja2", "matplotlib")
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of sysexits.h. A user's mistake is one line on stderr."""
    hush_tensorflow()
    try:
        return _run(argv)
    except EdgeError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("trainer: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        return 0
    except OSError as error:
        told = DiskError(f"{error.filename or 'a file'}: {error.strerror or error}: make room or mend its permissions")
        print(f"trainer: {told}", file=sys.stderr)
        return told.exit_code
    except Exception:  # the last resort: nobody's mistake but ours shows a traceback
        logging.getLogger("trainer").exception("this is a fault of mask-edge: please report it with these lines")
        return EXIT_OUR_FAULT


def _run(argv: Sequence[str] | None) -> int:
    try:
        from trainer.commands import run_command

        return run_command(argv)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise Unavailable(f"{error.name} is not installed: pip install 'mask-edge[trainer]'") from error


if __name__ == "__main__":
    sys.exit(main())
