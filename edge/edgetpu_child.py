"""The process that holds an Edge TPU, so that it can end and be killed without the daemon.

libedgetpu aborts the process when a transfer fails (edgetpu issue 476), one built for another TensorFlow than the
runtime's ends in a segfault (libedgetpu issues 53 and 67), and a call may never return. None of that can be caught.

Run as a script by ``edgetpu.py``: ``edgetpu_child.py SOCKET MODEL LIBRARY START_S RUN_S``; the first two are open file
descriptors. First says ("ready", runtime, input, output) or ("absent", what, remedy) or ("failed", why); then answers
each batch with ("done", output), or ("failed", why) and ends. The end of the connection ends the process.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # -P keeps the working folder out, and this one too

from edge.errors import DataError, Unavailable
from edge.interpreter import Interpreter, load_delegate


def main() -> None:
    connection, model_fd, library = Connection(int(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    start_s, run_s = int(sys.argv[4]), int(sys.argv[5])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crop is in this memory
    # The parent kills what takes too long. Should it be gone, the alarm does: it needs no Python to end the process.
    signal.alarm(start_s)
    with os.fdopen(model_fd, "rb") as file:
        model = file.read()
    interpreter = opened(connection, model, library)
    signal.alarm(0)
    if interpreter is not None:
        connection.send(("ready", interpreter.runtime, interpreter.input, interpreter.output))
        serve(connection, interpreter, run_s)


def opened(connection: Connection, model: bytes, library: str) -> Interpreter | None:
    try:
        delegate = load_delegate(library)
    except OSError as error:
        connection.send(("absent", f"{library} cannot be loaded ({error})", "install it as docs/hardware.md says"))
    except ValueError as error:
        words = " ".join(str(error).split())
        connection.send(("absent", f"{library} finds no Edge TPU, or none that is free ({words})", "plug one in"))
    except Unavailable as error:
        connection.send(("failed", str(error)))
    else:
        try:
            return Interpreter(model, delegate=delegate)
        except (DataError, Unavailable) as error:
            connection.send(("failed", str(error)))
    return None


def serve(connection: Connection, interpreter: Interpreter, run_s: int) -> None:
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        signal.alarm(run_s)
        said: tuple[str, Any]
        try:
            said = ("done", interpreter.run(batch))
        except (ValueError, RuntimeError) as error:
            said = ("failed", " ".join(str(error).split()))
        signal.alarm(0)
        connection.send(said)
        if said[0] == "failed":
            return


if __name__ == "__main__":
    main()
