"""The self-test of a bundle in a process of its own: a model may end the interpreter's process, or never come back.

``python -m edge.models.selftest FOLDER`` is that process; everybody else calls ``self_test``.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from edge.errors import DataError, EdgeError, Unavailable
from edge.places import PACKAGE

NOT_HERE: Final = "do not use it here"
SEPARATOR: Final = "\x1f"  # between what is wrong and the remedy, on the child's line
LIMIT_S: Final = 60.0  # a Raspberry Pi 3 needs 10 s from a cold card, most of it to import OpenCV


def self_test(bundle: Path, limit_s: float = LIMIT_S) -> str:
    """Run the golden inputs; a line that says so. Raises DataError for a model that fails, crashes or hangs."""
    command = [sys.executable, "-m", __name__, str(bundle.absolute()), str(limit_s)]
    try:
        done = subprocess.run(
            command, cwd=PACKAGE.parent, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise hanging(bundle, limit_s) from error
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == -signal.SIGXCPU:
        raise hanging(bundle, limit_s)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise DataError(f"bundle {bundle}: its model ends the interpreter's process ({name})", NOT_HERE)
    if done.returncode:
        kind = Unavailable if done.returncode == Unavailable.exit_code else DataError
        if said:
            raise kind(*said[-1].rsplit(SEPARATOR, 1))
        raise kind(f"bundle {bundle}: its self-test ended with {done.returncode}", "export it again")
    return done.stdout.decode(errors="replace").strip()


def hanging(bundle: Path, limit_s: float) -> DataError:
    return DataError(f"bundle {bundle}: its self-test did not end within {limit_s:g} s", NOT_HERE)


def main(folder: str, limit_s: str) -> int:
    """In the child. Whatever becomes of the parent, this process ends: its time on the processor is limited, too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    processor_s = max(1, round(float(limit_s)))
    # The hard limit comes later: at one number for both the kernel kills, and says nothing of time (setrlimit(2)).
    resource.setrlimit(resource.RLIMIT_CPU, (processor_s, processor_s + 5))
    from edge.golden import check_golden

    try:
        print(check_golden(Path(folder)))
    except EdgeError as error:
        print(error.what, error.remedy, sep=SEPARATOR, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
