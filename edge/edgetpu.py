"""A model on a Coral Edge TPU, run by a child process: whatever its driver does there, this process goes on.

By the runtime's ``load_delegate`` alone; pycoral ends at Python 3.9. The crop goes over and the answer comes back by a
socket, which costs a fraction of a millisecond; what the driver must not cost is the daemon.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from edge.errors import Unavailable
from edge.interpreter import Tensor

LIBRARY: Final = "libedgetpu.so.1"
CHILD: Final = (sys.executable, "-P", str(Path(__file__).with_name("edgetpu_child.py")))
START_S: Final = 20  # Python from a cold card, the stick's firmware (it leaves the bus and comes back), the model
RUN_S: Final = 2  # 5 ms is usual, 20 ms the first (edgetpu issue 660): a hundred times that is a hang
MARGIN_S: Final = 1  # the child's own alarm comes later than ours
EXIT_S: Final = 2.0  # the child's goodbye to the stick
KILLED_S: Final = 1.0

_stuck: list[subprocess.Popen[bytes]] = []  # killed, and held by the kernel; while there is one, no other is started


class TpuAbsent(Unavailable):
    """There is no library, or it finds no device: plugging one in mends it."""


class TpuFailed(Unavailable):
    """It is there and does not work: it crashed, hung, refused the model, or was pulled out."""


class EdgeTpu:
    """One compiled model in a child process. Await ``is_ready`` before ``run``.

    model: the bytes of a verified model_edgetpu.tflite. Every wait has a limit; nothing of it survives ``close``.
    """

    def __init__(self, model: bytes, library: str = LIBRARY) -> None:
        if any(process.poll() is None for process in _stuck):
            raise TpuFailed("an earlier process still hangs in the Edge TPU's driver", "cut the stick's power once")
        _stuck.clear()
        self.runtime = ""
        self.input = self.output = Tensor((), "", 0.0, 0)
        self._began_s = time.monotonic()
        try:
            self._process, self._connection = start(model, library)
        except OSError as error:
            raise TpuFailed(f"no process for the Edge TPU can be started ({error})", "make room for one") from error

    def is_ready(self, wait_s: float = 0.0) -> bool:
        """True once the TPU has run the model. Waits so long at most; raises TpuAbsent or TpuFailed."""
        if self.runtime:
            return True
        left_s = self._began_s + START_S - time.monotonic()
        said = self._answer(min(wait_s, left_s))
        if said is None:
            if wait_s >= left_s:
                self._fail(f"it was not ready within {START_S} s and was ended")
            return False
        _, runtime, self.input, self.output = said
        self.runtime = f"{runtime}, {LIBRARY}"
        return True

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See Interpreter. Raises TpuFailed when it is gone, has crashed, or gives no answer in time."""
        try:
            self._connection.send(batch)
        except OSError:
            self._fail(self._death())
        said = self._answer(RUN_S)
        if said is None:
            self._fail(f"it gave no answer within {RUN_S} s and was ended")
        output: npt.NDArray[Any] = said[1]
        return output

    def close(self) -> None:
        """End the child: the end of the connection asks it to, a kill makes it."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
        self._kill()

    def _answer(self, wait_s: float) -> Any:
        """What the child says; None when it says nothing in time."""
        try:
            if not self._connection.poll(max(0.0, wait_s)):
                return None
            said = self._connection.recv()
        except (EOFError, OSError):
            self._fail(self._death())
        if said[0] == "absent":
            self._kill()
            raise TpuAbsent(said[1], said[2])
        if said[0] == "failed":
            self._fail(said[1])
        return said

    def _fail(self, why: str) -> Any:
        self._kill()
        raise TpuFailed(f"the Edge TPU failed, {why}", "see docs/hardware.md for what fits together")

    def _death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_S)
        code = self._process.returncode
        if code is None:
            return "its process closed the line"
        return (
            f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with {code}"
        )

    def _kill(self) -> None:
        self._connection.close()
        if self._process.poll() is None:
            self._process.kill()
            try:
                self._process.wait(KILLED_S)
            except subprocess.TimeoutExpired:
                _stuck.append(self._process)


def start(model: bytes, library: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """The child, and our end of its line."""
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.memfd_create("model"), "wb") as file:  # the very bytes that were checked
        file.write(model)
        file.flush()
        file.seek(0)
        limits = (str(START_S + MARGIN_S), str(RUN_S + MARGIN_S))
        process = subprocess.Popen(
            (*CHILD, str(theirs.fileno()), str(file.fileno()), library, *limits),
            pass_fds=(theirs.fileno(), file.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # the driver's own chatter
            start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
        )
        return process, Connection(ours.detach())
