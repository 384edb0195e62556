"""An Edge TPU of our own: a real shared library, compiled here, that misbehaves in native code (``fake_edgetpu.c``)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.edge.bundles import DATA, make_bundle

SOURCE: Final = Path(__file__).with_name("fake_edgetpu.c")
COMPILED: Final = (DATA / "tiny_edgetpu.tflite").read_bytes()
CC: Final = shutil.which("cc")

needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler: apt install gcc libc6-dev")


class FakeTpu:
    """Plugged in where the loader looks for libedgetpu.so.1, for child processes that are started from now on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert CC is not None
        self._library = folder / "lib" / "libedgetpu.so.1"
        self._library.parent.mkdir(parents=True)
        self._mode = folder / "mode"
        subprocess.run([CC, "-shared", "-fPIC", "-w", "-o", self._library, SOURCE], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(self._library.parent))
        monkeypatch.setenv("FAKE_EDGETPU", str(self._mode))
        monkeypatch.setenv("FAKE_EDGETPU_LOCK", str(folder / "lock"))
        self.does("ok")

    def does(self, mode: str) -> None:
        """See fake_edgetpu.c; from now on, in processes that run already too."""
        beside = self._mode.with_suffix(".new")
        beside.write_text(mode)
        beside.replace(self._mode)

    def uninstall(self) -> None:
        self._library.unlink()


def make_tpu_bundle(folder: Path, compiled: bytes = COMPILED) -> Path:
    return make_bundle(folder, {"model_edgetpu.tflite": compiled})
