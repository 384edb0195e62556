import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError, InputMissing, UsageError
from trainer.__main__ import main
from trainer.judge.left_out import (
    Cell,
    Table,
    as_json,
    as_lines,
    faces_left_out,
    is_folder_of_runs,
    judge_run,
    means,
    sources_left_out,
    told_apart,
)
from trainer.metrics import Score

NAN = float("nan")


def cell(recipe: str, source: str, balanced: float, worn: float = NAN) -> Cell:
    score = Score(balanced, balanced + 0.1, balanced - 0.1, worn)
    ends = (balanced, balanced)
    return Cell(f"{recipe}-{source}", recipe, 1, source, (5, 5, 0), score, np.full(1000, balanced), ends)


def test_run_is_judged_on_every_face_of_the_source_it_left_out_and_on_no_other(
    faces: Path, runs_left_out: Path
) -> None:
    rows = faces_left_out(faces, sources_left_out(runs_left_out / "without-circle"))
    assert {r.source for r in rows} == {"circle"}
    assert {r.split for r in rows} == {"train", "held_out"}
    judged = judge_run(runs_left_out / "without-circle", faces)
    assert (judged.sources, sum(judged.counts)) == ("circle", len(rows))


def test_mean_counts_each_source_once_and_only_those_that_every_recipe_has() -> None:
    cells = [cell("ours", "a", 0.9), cell("ours", "b", 0.8), cell("ours", "c", 0.1), cell("other", "a", 0.7)]
    found = {m.recipe: m for m in means([*cells, cell("other", "b", 0.5)])}
    assert found["ours"].sources == ("a", "b")
    assert found["ours"].score.balanced == pytest.approx(0.85)
    assert found["other"].score.balanced == pytest.approx(0.6)
    assert found["other"].ci95 == pytest.approx((0.6, 0.6))


def test_interval_of_a_mean_is_no_narrower_than_its_rows_make_it() -> None:
    rows = [replace(cell("ours", source, 1.0), ci95=(0.9, 1.0)) for source in "abcd"]
    (found,) = means(rows)
    assert found.ci95 == pytest.approx((0.95, 1.0))  # four independent rows: half as far off as each


def test_row_without_an_interval_leaves_the_mean_without_and_is_named() -> None:
    rows = (cell("ours", "a", 0.9), replace(cell("ours", "b", 0.8), ci95=(NAN, NAN)))
    table = Table(rows, tuple(means(rows)), ())
    assert as_json(table)["means"][0]["ci95"] == [None, None]
    assert "no interval for b" in as_json(table)["notes"][0]


def test_source_of_one_class_stays_out_of_the_mean() -> None:
    found = means([cell("ours", "a", 0.9, worn=0.2), cell("ours", "bare_only", NAN)])
    assert [(m.sources, m.score.incorrect_called_mask) for m in found] == [(("a",), 0.2)]


def test_recipes_without_a_source_in_common_have_no_mean() -> None:
    assert means([cell("ours", "a", 0.9), cell("other", "b", 0.9)]) == []


def test_folder_of_runs_makes_one_table(faces: Path, runs_left_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_folder_of_runs(runs_left_out)
    assert main(["evaluate", str(runs_left_out), "--data", str(faces), "--left-out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(c["sources"], c["recipe"]) for c in said["left_out"]] == [
        (["circle"], "mobilenet_v2"),
        (["square"], "mobilenet_v2"),
    ]
    assert all(c["n"] == sum(c["counts"].values()) == 72 for c in said["left_out"])
    assert [m["over"] for m in said["means"]] == [["circle", "square"]]
    assert [s.split()[0] for s in said["skipped"]] == ["all-sources", "unfinished"]


def test_table_for_people_has_a_row_per_run_and_names_what_is_missing() -> None:
    cells = (cell("ours", "a", 0.9), cell("other", "a", 0.8), cell("other", "b", NAN))
    lines = list(as_lines(Table(cells, tuple(means(cells)), ("c is not in the table: it is broken",))))
    assert [line.split()[0] for line in lines[1:]] == ["a", "a", "b", "mean", "mean", "badly", "note:"]
    assert "80.0% (80.0% to 80.0%)" in next(line for line in lines if line.startswith("a") and "other" in line)


def test_runs_that_left_the_same_out_are_told_apart_by_seed_or_else_by_folder() -> None:
    first = [cell("ours", source, 0.9) for source in "ab"]
    second = [replace(c, seed=2) for c in first]
    assert [c.recipe for c in told_apart([*first, *second])] == ["ours, seed 1"] * 2 + ["ours, seed 2"] * 2
    renamed = [replace(c, run=f"pasted-{c.sources}") for c in first]
    assert [c.recipe for c in told_apart([*first, *renamed])] == ["ours, ours"] * 2 + ["ours, pasted"] * 2
    assert [c.recipe for c in told_apart(first)] == ["ours", "ours"]


def test_one_run_is_judged_like_any_other_model(
    faces: Path, runs_left_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(runs_left_out / "without-square"), "--data", str(faces), "--left-out", "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n"] == 72
    assert [name for name in said["slices"] if name.startswith("source:")] == ["source:square"]


def test_run_that_left_nothing_out_is_refused_with_the_remedy(run: Path) -> None:
    with pytest.raises(UsageError, match="--leave-out"):
        sources_left_out(run)


def test_bundle_left_nothing_out(bundle: Path) -> None:
    with pytest.raises(InputMissing, match=r"no run\.json"):
        sources_left_out(bundle)


def test_other_set_than_that_of_the_run_is_refused(faces: Path) -> None:
    with pytest.raises(DataError, match="no face of 'triangle'"):
        faces_left_out(faces, ("triangle",))
