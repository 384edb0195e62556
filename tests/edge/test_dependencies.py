"""What a device installs and imports: no TensorFlow, one runtime, nothing of the trainer."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from edge.places import PACKAGE

ROOT = PACKAGE.parent
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
TARGETS = tuple(product(MACHINES, PYTHONS))
GLIBC = "manylinux_2_36"  # Debian 12
RUNTIMES = {"ai-edge-litert", "tflite-runtime"}
TRAINERS = {"tensorflow", "tensorflow-cpu", "keras", "imagehash", "pillow", "typer", "rich"}
NO_NETWORK = re.compile(r"Failed to fetch|error sending request|dns error|timed out|[Cc]onnection", re.MULTILINE)
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.fixture(scope="module")
def resolved() -> dict[tuple[str, str], dict[str, str]]:
    """For each machine and Python: package to version, wheels only, as a registry has them now."""
    with ThreadPoolExecutor(len(TARGETS)) as pool:
        return dict(zip(TARGETS, pool.map(lambda target: resolve(*target), TARGETS), strict=True))


def resolve(machine: str, python: str) -> dict[str, str]:
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "pyproject.toml",
    ]
    command += ["--python-platform", f"{machine}-{GLIBC}", "--python-version", python, "--only-binary", ":all:"]
    command += ["--cache-dir", ".cache/uv", "--no-python-downloads"]  # nothing is written outside of the tree
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr) and "No solution found" not in done.stderr:
        pytest.skip(f"the registry cannot be reached: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return dict(line.split("==") for line in done.stdout.split())


@pytest.mark.parametrize(("machine", "python"), TARGETS)
def test_a_device_gets_one_runtime_and_no_tensorflow(
    resolved: dict[tuple[str, str], dict[str, str]], machine: str, python: str
) -> None:
    packages = resolved[machine, python]
    documented = "tflite-runtime" if (machine, python) == ("aarch64", "3.11") else "ai-edge-litert"
    assert RUNTIMES & set(packages) == {documented}
    assert not TRAINERS & set(packages)
    assert {"numpy", "opencv-python-headless", "paho-mqtt"} <= set(packages)


def test_tflite_runtime_comes_with_numpy_1_and_an_opencv_that_takes_it(
    resolved: dict[tuple[str, str], dict[str, str]],
) -> None:
    packages = resolved["aarch64", "3.11"]
    assert packages["tflite-runtime"].startswith("2.14.")
    assert packages["numpy"].startswith("1.")
    assert version(packages["opencv-python-headless"]) < (4, 12)


@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_arm_gets_no_litert_from_2_2_on(resolved: dict[tuple[str, str], dict[str, str]], python: str) -> None:
    assert (2, 1) <= version(resolved["aarch64", python]["ai-edge-litert"]) < (2, 2)


def version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


# --- imports ---


def imported(module: Path) -> set[str]:
    """The first names of all that a file imports, wherever in it; imports of its own package by a dot are ``edge``."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "edge").split(".")[0] if not node.level else "edge")
    return found


@pytest.mark.parametrize("module", MODULES, ids=[m.relative_to(PACKAGE).as_posix() for m in MODULES])
def test_the_device_s_modules_import_only_what_a_device_has(module: Path) -> None:
    device = {"edge", "numpy", "cv2", "paho"} | ({"picamera2", "libcamera", "systemd"} & imported(module))
    assert imported(module) <= set(sys.stdlib_module_names) | device


def test_only_the_interpreter_knows_a_runtime() -> None:
    knows = {m.stem for m in MODULES if re.search(r"tflite_runtime|ai_edge_litert", m.read_text())}
    assert knows == {"interpreter"}


def test_every_module_can_be_imported_without_trainer_and_tensorflow() -> None:
    names = [".".join(m.relative_to(ROOT).with_suffix("").parts) for m in MODULES]
    modules = [n for n in names if not n.endswith(("__main__", "__init__"))]
    blocked = ["trainer", "tensorflow", "keras", "imagehash", "PIL", "typer", "rich"]
    block = f"import sys, importlib; sys.modules.update(dict.fromkeys({blocked}))"
    code = f"{block}; [*map(importlib.import_module, {modules})]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_configuration_start_without_opencv_and_numpy() -> None:
    code = "import sys, edge.__main__ as m; m.build_parser(); print({'cv2', 'numpy', 'trainer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n"
