"""What a power cut would find: the system calls of a real install and a real switch, in their order (strace).

A kill loses nothing that was written, a power cut does: so each file is synced before the folder's name counts, and
each name before the next step relies on it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.places import PACKAGE
from tests.edge.bundles import make_bundle

CALLS = "openat,write,fsync,rename,renameat,renameat2,mkdir,mkdirat,symlink,symlinkat,unlink,unlinkat"
LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += +(-?\d+)")
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="apt install strace")


@dataclass(frozen=True, slots=True)
class Call:
    """verb: of ``CALLS``. what: paths relative to the models folder; of a write or a sync the file's."""

    verb: str
    what: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb} {' -> '.join(self.what)}"


def traced(folder: Path, models: Path, *argv: str) -> list[Call]:
    """Every change of the models folder by one command, with what was synced, in order."""
    out = folder / "trace"
    command = ["strace", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(out), sys.executable, "-m", "edge", *argv]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"no process may be traced here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [call for line in out.read_text().splitlines() if (call := parsed(line, models))]


def parsed(line: str, models: Path) -> Call | None:
    found = LINE.match(line)
    if not found or int(found[3]) < 0 or str(models) not in line:
        return None
    verb, arguments = found[1], found[2]
    if verb == "openat" and "O_CREAT" not in arguments:
        return None
    named = re.findall(rf"[<\"]{re.escape(str(models))}/?([^>\"]*)", arguments)
    if verb.startswith("symlink"):
        named = [re.findall(r'"([^"]*)"', arguments)[0], *named]
    return Call(verb.removesuffix("at2").removesuffix("at") if verb != "openat" else "create", tuple(named))


def after(calls: list[Call], start: int, is_it: Callable[[Call], bool]) -> int:
    """Where the first such call after ``start`` is."""
    return next(index for index in range(start + 1, len(calls)) if is_it(calls[index]))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    return tmp_path / "state" / "models"


def test_file_name_and_folder_are_synced_in_this_order(tmp_path: Path, models: Path) -> None:
    bundle = make_bundle(tmp_path / "one", name="one")
    calls = traced(tmp_path, models, "model", "install", str(bundle))
    tag = next(entry.name for entry in models.iterdir() if entry.name.startswith("one@"))
    tell("install", calls)

    (named,) = [index for index, call in enumerate(calls) if call == Call("rename", (".install.new", tag))]
    files = [call.what[0] for call in calls if call.verb == "create" and call.what[0].startswith(".install.new/")]
    assert len(files) == len([path for path in bundle.rglob("*") if path.is_file()])
    for file in files:
        written = max(index for index, call in enumerate(calls) if call == Call("write", (file,)))
        synced = after(calls, written, lambda call, file=file: call == Call("fsync", (file,)))  # type: ignore[misc]
        folder = os.path.dirname(file)  # noqa: PTH120 - a string of a trace
        in_folder = after(calls, synced, lambda call, folder=folder: call == Call("fsync", (folder,)))  # type: ignore[misc]
        assert synced < in_folder < named
    assert calls[named + 1] == Call("fsync", ("",))  # the models folder itself

    calls = traced(tmp_path, models, "model", "activate", tag)
    tell("activate", calls)
    steps = [call for call in calls if call.verb not in ("create", "write") and not call.what[0].startswith(".lock")]
    assert steps == [
        Call("fsync", (".trial.json.new",)),
        Call("rename", (".trial.json.new", "trial.json")),
        Call("fsync", ("",)),
        Call("fsync", ("",)),  # there was no previous one: nothing to point to
        Call("symlink", (tag, ".active.new")),
        Call("rename", (".active.new", "active")),
        Call("fsync", ("",)),
    ]


def tell(what: str, calls: list[Call]) -> None:
    """Shown by ``make trace``."""
    print(f"\n{what}:")
    for call in calls:
        if call.verb != "write":
            print(f"  {call}" if call.what != ("",) else f"  {call.verb} the models folder")
