"""Whatever stands in the configuration file: one clear line, the right exit code, no traceback, no waiting."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from edge import daemon
from edge.__main__ import main
from edge.places import PACKAGE
from tests.edge.bundles import GREEN_BGR, make_bundle, plain, png
from tests.mutations import COUNTS, SEED
from tests.mutations.configs import good, spoilt

LONGEST_S = 30.0  # on a busy machine; what it takes is a tenth of a second
OF_A_CHECK = {0, 64, 65, 66, 69, 73, 74, 77, 78}
SCHEMA = json.loads((PACKAGE.parent / "docs" / "schema" / "check-v1.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "tiny")
    (tmp_path / "flat.png").write_bytes(png(plain(GREEN_BGR, 60, 60)))
    return tmp_path


def test_the_file_that_is_spoilt_is_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").write_text(good(folder))
    assert main(["check", "--config", str(folder / "config.toml")]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("count", COUNTS)
def test_a_run_says_in_one_line_what_is_wrong_with_its_config(
    count: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "run_daemon", lambda *_: 0)  # a config that happens to be good must not run for ever
    draw, path, codes = random.Random(SEED), folder / "config.toml", dict[int, int]()
    for number in range(count):
        path.write_bytes(data := spoilt(good(folder), draw))
        began_s = time.monotonic()
        code = main(["run", "--config", str(path)])
        said, case = capsys.readouterr(), f"number {number}: {data[:3000]!r}"
        assert code in (0, 64, 78), f"{case}: {said.err}"
        assert said.out == "", case
        assert (said.err == "") == (code == 0), f"{case}: {said.err}"
        assert code == 0 or is_one_line(said.err), f"{case}: {said.err!r}"
        assert time.monotonic() - began_s < LONGEST_S, case
        codes[code] = codes.get(code, 0) + 1
    assert codes[78] > count / 2, codes
    assert codes[0] > 0, codes


def is_one_line(said: str) -> bool:
    """Begins as ours do, ends, and has nothing in it that would write elsewhere on a terminal; no book either."""
    return said.startswith("edge: ") and said.endswith("\n") and said[:-1].isprintable() and len(said) < 20_000


@pytest.mark.parametrize("count", COUNTS)
def test_a_check_finds_it_and_goes_on_to_the_other_parts(
    count: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw, path = random.Random(SEED + 1), folder / "config.toml"
    for number in range(count):
        path.write_bytes(data := spoilt(good(folder), draw))
        began_s = time.monotonic()
        code = main(["check", "--json", "--config", str(path)])
        said, case = capsys.readouterr(), f"number {number}: {data[:3000]!r}"
        assert code in OF_A_CHECK, f"{case}: {said}"
        assert said.err == "", case
        answer = json.loads(said.out)
        jsonschema.validate(answer, SCHEMA)
        assert answer["exit_code"] == code, case
        assert {"config", "model", "detector", "state", "camera", "sink"} <= {one["part"] for one in answer["findings"]}
        assert time.monotonic() - began_s < LONGEST_S, case
