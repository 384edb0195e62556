"""Root works on the models as the user that owns them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.places import PACKAGE
from tests.edge.bundles import make_bundle

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    for above in folder.parents:
        if above.is_relative_to("/tmp") and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o055)
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    return folder


def install(bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", "model", "install", str(bundle)]
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)


def test_what_root_installs_is_the_owner_s(tmp_path: Path, state: Path) -> None:
    done = install(make_bundle(tmp_path / "one", name="one"))
    if "No module named" in done.stderr or "ermission" in done.stderr:
        pytest.skip("another user cannot read this tree")
    assert done.returncode == 0, done.stderr
    owners = {path.lstat().st_uid for path in [state / "models", *(state / "models").rglob("*")]}
    assert owners == {NOBODY}


def test_a_bundle_in_root_s_own_home_is_77_with_the_way_around(tmp_path: Path, state: Path) -> None:
    home = tmp_path / "home"
    make_bundle(home / "one", name="one")
    home.chmod(0o700)
    done = install(home / "one")
    assert done.returncode == 77
    assert f"use 'tar -C {home}/one -c . | edge model install -'" in done.stderr
