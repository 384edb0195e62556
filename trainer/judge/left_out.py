"""Leave-one-source-out: each run judged on the faces of the sources it never saw, which is the nearest that photos come
to the next door. A held-out group of a known source still shares its cameras and its makers' habits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import DataError, EdgeError, InputMissing, UsageError
from trainer.faces.labels import LABELS
from trainer.faces.manifest import FaceRow, read_manifest
from trainer.judge.evaluate import answers, true_labels
from trainer.judge.models import open_run
from trainer.judge.slices import number
from trainer.judge.tables import share
from trainer.learn import runs
from trainer.learn.recipes import MOBILENET_V2
from trainer.metrics import MASK_AT, Floats, Score, balanced_interval, interval, probabilities, recall_draws, score

FEW_GROUPS: Final = "a class has fewer than two groups (people or scenes)"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run on the faces of its left-out sources, uncalibrated, threshold one half.

    sources: joined with ``+``. counts: faces by label. draws: (n,) balanced accuracies of redrawn groups (bootstrap).
    ci95: of balanced accuracy, as ``metrics.balanced_interval`` tells.
    """

    run: str
    recipe: str
    seed: int
    sources: str
    counts: tuple[int, ...]
    score: Score
    draws: Floats
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mean:
    """Over the sources, each counting once, that every recipe was judged on and that have masked and bare faces."""

    recipe: str
    sources: tuple[str, ...]
    score: Score
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """cells: by source, then recipe. skipped: a sentence for each run that could not be judged."""

    cells: tuple[Cell, ...]
    means: tuple[Mean, ...]
    skipped: tuple[str, ...]

    @property
    def recipes(self) -> list[str]:
        return list(dict.fromkeys(c.recipe for c in sorted(self.cells, key=_ours_first)))

    @property
    def sources(self) -> list[str]:
        return sorted({c.sources for c in self.cells})

    def cell(self, sources: str, recipe: str) -> Cell | None:
        return next((c for c in self.cells if (c.sources, c.recipe) == (sources, recipe)), None)

    @property
    def notes(self) -> tuple[str, ...]:
        few = {c.sources for c in self.cells if np.isnan(c.ci95[0]) and not np.isnan(c.score.balanced)}
        without = [f"no interval for {s} and none for a mean with it: {FEW_GROUPS}" for s in sorted(few)]
        return (*without, *self.skipped)


def _ours_first(cell: Cell) -> tuple[bool, str]:
    return not cell.recipe.startswith(MOBILENET_V2), cell.recipe


def is_folder_of_runs(path: Path) -> bool:
    return path.is_dir() and not (path / runs.RUN).is_file() and any(path.glob(f"*/{runs.RUN}"))


def refuse_no_runs(path: Path) -> None:
    """Raises InputMissing where there is no folder, DataError where it holds no run."""
    if not path.is_dir():
        raise InputMissing(f"no folder {path}: name one that holds runs made by `trainer train --leave-out SOURCE`")
    if not is_folder_of_runs(path):
        raise DataError(f"no run folder in {path}: each is made by `trainer train --leave-out SOURCE`")


def sources_left_out(path: Path) -> tuple[str, ...]:
    """Of one run. Raises UsageError where it left none out, InputMissing where it is no run."""
    sources = runs.read_run(path).settings.leave_out
    if not sources:
        raise UsageError(f"{path} left no source out: train with --leave-out SOURCE, or judge it without --left-out")
    return sources


def faces_left_out(folder: Path, sources: Sequence[str]) -> list[FaceRow]:
    """Every face of these sources, of both splits. Raises DataError where the set has none of one of them."""
    rows = read_manifest(folder)
    for source in sources:
        if not any(r.source == source for r in rows):
            raise DataError(
                f"{folder} has no face of {source!r}, which was left out: name the set that the run was trained on"
            )
    return [r for r in rows if r.source in sources]


def judge_runs(folder: Path, data: Path, tick: Callable[[int], None] = lambda _: None) -> Table:
    """Judge every run below a folder. Raises DataError where none can be judged."""
    cells, skipped = [], []
    for record in sorted(folder.glob(f"*/{runs.RUN}")):
        try:
            cells.append(judge_run(record.parent, data))
        except EdgeError as error:
            skipped.append(f"{record.parent.name} is not in the table: {error}")
        tick(1)
    if not cells:
        raise DataError(f"no run in {folder} can be judged: {'; '.join(skipped)}")
    cells = told_apart(cells)
    return Table(tuple(cells), tuple(means(cells)), tuple(skipped))


def judge_run(path: Path, data: Path) -> Cell:
    sources, settings = sources_left_out(path), runs.read_run(path).settings
    rows = faces_left_out(data, sources)
    model = open_run(path)
    p_mask = probabilities(answers(model, data, rows), model.calibration)[:, MASK_AT]
    labels, groups = true_labels(rows), [r.group for r in rows]
    draws = recall_draws(p_mask, labels, groups, model.threshold)
    return Cell(
        run=path.name,
        recipe=settings.recipe,
        seed=settings.seed,
        sources="+".join(sources),
        counts=tuple(int((labels == i).sum()) for i in range(len(LABELS))),
        score=score(p_mask, labels, model.threshold),
        draws=draws.mean(axis=1),
        ci95=balanced_interval(draws, p_mask, labels, groups, model.threshold),
    )


def told_apart(cells: Sequence[Cell]) -> list[Cell]:
    """Where runs of one recipe left the same out, all runs of that recipe also get their seed, or, where that is the
    same, their folder's name without the source's at its end."""
    twice = {c.recipe for c in cells if sum((o.sources, o.recipe) == (c.sources, c.recipe) for o in cells) > 1}
    by_seed = {recipe: _seeds_differ([c for c in cells if c.recipe == recipe]) for recipe in twice}
    return [replace(c, recipe=_full_name(c, by_seed[c.recipe])) if c.recipe in twice else c for c in cells]


def _seeds_differ(cells: Sequence[Cell]) -> bool:
    return len({(c.sources, c.seed) for c in cells}) == len(cells)


def _full_name(c: Cell, by_seed: bool) -> str:
    return f"{c.recipe}, {f'seed {c.seed}' if by_seed else c.run.removesuffix(c.sources).strip('-_. ')}"


def means(cells: Sequence[Cell]) -> list[Mean]:
    """A mean per recipe; none where the recipes share no source."""
    by_recipe: dict[str, dict[str, Cell]] = {}
    for c in sorted(cells, key=_ours_first):
        if not np.isnan(c.score.balanced):
            by_recipe.setdefault(c.recipe, {})[c.sources] = c
    shared = sorted(set.intersection(*map(set, by_recipe.values()))) if by_recipe else []
    return [_mean_of(recipe, [own[s] for s in shared]) for recipe, own in by_recipe.items() if shared]


def _mean_of(recipe: str, cells: Sequence[Cell]) -> Mean:
    shares = np.array([_numbers(c.score) for c in cells])
    said = Score(*map(_mean, shares.T))
    return Mean(recipe, tuple(c.sources for c in cells), said, _interval_of_mean(said.balanced, cells))


def _interval_of_mean(balanced: float, cells: Sequence[Cell]) -> tuple[float, float]:
    """By bootstrap, and no narrower than the rows' own intervals make it: sources are independent, so what their ends
    lie off adds up by squares (Zou and Donner, 2008). NaN where a row has none."""
    reach = np.sqrt((np.array([np.subtract(c.ci95, c.score.balanced) for c in cells]) ** 2).sum(axis=0)) / len(cells)
    low, high = interval(np.mean([c.draws for c in cells], axis=0))
    return float(np.minimum(low, balanced - reach[0])), float(np.maximum(high, np.minimum(1, balanced + reach[1])))


def _numbers(s: Score) -> tuple[float, ...]:
    return s.balanced, s.mask_right, s.bare_right, s.incorrect_called_mask


def _mean(column: Floats) -> float:
    """Of what is known: not every source has badly worn masks."""
    known = column[~np.isnan(column)]
    return float(known.mean()) if known.size else float("nan")


def as_json(table: Table) -> dict[str, Any]:
    return {
        "left_out": [
            {"sources": c.sources.split("+"), "recipe": c.recipe, "run": c.run, "n": sum(c.counts)}
            | {"counts": dict(zip(LABELS, c.counts, strict=True))}
            | _shares(c.score, c.ci95)
            for c in table.cells
        ],
        "means": [{"recipe": m.recipe, "over": list(m.sources)} | _shares(m.score, m.ci95) for m in table.means],
        "skipped": list(table.skipped),
        "notes": list(table.notes),
    }


def _shares(s: Score, ci95: tuple[float, float]) -> dict[str, Any]:
    return {
        "balanced_accuracy": number(s.balanced),
        "ci95": [number(v) for v in ci95],
        "mask_recall": number(s.mask_right),
        "no_mask_recall": number(s.bare_right),
        "incorrect_called_mask": number(s.incorrect_called_mask),
    }


def as_lines(table: Table) -> Iterator[str]:
    shares = "".join(f"{what:>11}" for what in ("mask right", "bare right", "badly worn"))
    yield f"{'left out':24}{'faces':>7}  {'recipe':26}{shares}  balanced (95%)"
    for source in table.sources:
        for recipe in table.recipes:
            c = table.cell(source, recipe)
            if c:
                yield _line(source, str(sum(c.counts)), recipe, c.score, c.ci95)
    for m in table.means:
        yield _line("mean", f"of {len(m.sources)}", m.recipe, m.score, m.ci95)
    yield "badly worn: share called mask; each run uncalibrated at threshold 0.5; the mean is over: " + (
        ", ".join(table.means[0].sources) if table.means else "nothing that all recipes share"
    )
    for sentence in table.notes:
        yield f"note: {sentence}"


def _line(source: str, n: str, recipe: str, s: Score, ci95: tuple[float, float]) -> str:
    cells = "".join(f"{share(v):>11}" for v in (s.mask_right, s.bare_right, s.incorrect_called_mask))
    interval_text = "" if np.isnan(ci95[0]) else f" ({share(ci95[0])} to {share(ci95[1])})"
    return f"{source:24}{n:>7}  {recipe:26}{cells}  {share(s.balanced)}{interval_text}"
