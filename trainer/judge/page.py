"""``trainer report``: everything about one run on one page that needs no network, reads on a phone and prints."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge import __version__
from edge.errors import OutputError
from edge.opencv import cv2
from edge.records import INCORRECT, MASK, NO_MASK, ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.labels import LABELS
from trainer.faces.manifest import HELD_OUT, TRAIN, FaceRow, read_manifest
from trainer.judge import charts, left_out
from trainer.judge.evaluate import AT_A_DOOR, agreement, class_weights, true_labels
from trainer.judge.judgement import Judgement
from trainer.judge.slices import FEW, KINDS, Slice, intervals_right, shares_right
from trainer.judge.tables import saving
from trainer.learn.runs import Run
from trainer.metrics import (
    MASK_AT,
    Bin,
    calibration_diagram,
    cross_calibrated,
    expected_calibration_error,
)
from trainer.whole import replace_file

SPOKEN: Final = {MASK: "masked", NO_MASK: "bare", INCORRECT: "badly worn"}
WORST, OF_A_CLASS = 24, 12  # pictures
JPEG_QUALITY: Final = 86
DASH: Final = "\N{EN DASH}"
LOWEST: Final = 0.5  # where the axis of the slices' bars begins


@dataclass(frozen=True, slots=True)
class Material:
    """What a page is made of. shown: the judgement that it is about. beside: the float run's where ``shown`` is a
    bundle's, of the same faces and read with its calibration. left_out: the table of other runs, or None.
    pictures: whether faces are shown."""

    run: Run
    shown: Judgement
    beside: Judgement | None
    left_out: left_out.Table | None
    pictures: bool


def write_page(path: Path, material: Material) -> None:
    """Raises OutputError where there is no place for it, DiskError where it cannot be written whole."""
    refuse_place(path)
    text = page(material)
    replace_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def refuse_place(path: Path) -> None:
    """Said before the long work, not after it."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise OutputError(f"no folder {path.parent} to put {path.name} into: make it first")


def page(material: Material) -> str:
    """The whole HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("trainer.judge"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"percent": percent, "figure": figure, "spoken": spoken}
    return environment.get_template("report.html").render(content(material))


def content(material: Material) -> dict[str, Any]:
    """What the template is given, by the names that it uses."""
    shown, (diagram, ece) = material.shown, other_half(material.shown)
    return {
        "version": __version__,
        "made": datetime.now(UTC).strftime("%d %B %Y"),
        "name": shown.model.name,
        "report": shown.report,
        "detail": shown.detail,
        "labels": LABELS,
        "groups": len({r.group for r in shown.rows}),
        "interval": interval_words(shown),
        "plainly": list(plainly(shown)),
        "weak": list(weak_spots(shown)),
        "warnings": [f"{note[0].upper()}{note[1:]}." for note in shown.detail.notes],
        "classes": class_rows(shown),
        "slices": slice_tables(shown),
        "few": FEW,
        "saving": saving(shown.detail.sweep),
        "pictures_of": picture_charts(material, diagram),
        "calibration": calibration_words(shown, ece),
        "comparison": comparison(material),
        "left_out": material.left_out,
        "settings": settings_rows(material.run),
        "faces_by_source": face_rows(shown.folder, material.run),
        "worst": cards(shown, [m.at for m in shown.mistakes(WORST)]) if material.pictures else [],
        "gallery": gallery(shown) if material.pictures else [],
        "pictures": material.pictures,
    }


def percent(value: float | None, digits: int = 1) -> str:
    return DASH if value is None or math.isnan(value) else f"{100 * value:.{digits}f}%"


def figure(svg: str) -> str:
    """An SVG as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def spoken(name: str) -> str:
    """A label or a slice's word for people."""
    return SPOKEN.get(name, name.replace("_", " "))


def interval_words(shown: Judgement) -> str:
    low, high = shown.report.ci95
    if math.isnan(shown.report.score.balanced):
        return "none: it needs masked and bare faces"
    return "no interval: too few groups" if math.isnan(low) else f"95% interval {percent(low)} to {percent(high)}"


def plainly(shown: Judgement) -> Iterator[dict[str, Any]]:
    """One sentence a class, in whole faces: ``Of 100 bare faces, 99 are told as bare``."""
    told = {MASK: "told as masked", NO_MASK: "told as bare", INCORRECT: "told as not masked"}
    for label, share, n in zip(LABELS, shares_right(shown.report.score), shown.report.counts, strict=True):
        if n:
            of = 100 if share <= 0.99 or n < 200 else 1000
            subject = "badly worn masks" if label == INCORRECT else f"{SPOKEN[label]} faces"
            yield {"label": label, "of": f"{of:,}", "subject": subject, "told": told[label]} | {
                "count": f"{min(round(share * of), of if share == 1 else of - 1):,}",  # never all where one was wrong
                "n": n,
                "wrong": round((1 - share) * n),
            }


def weak_spots(shown: Judgement) -> Iterator[dict[str, Any]]:
    """Slices whose whole interval lies below the share of all faces, worst first."""
    found = []
    overall = shares_right(shown.report.score)
    for name, own in shown.report.slices.items():
        for i, (share, (low, high)) in enumerate(zip(shares_right(own.score), intervals_right(own), strict=True)):
            if own.is_weak(i, overall[i]):
                found.append((overall[i] - share, name, LABELS[i], share, low, high, own.counts[i]))
    for _, name, label, share, low, high, n in sorted(found, reverse=True):
        kind, _, word = name.partition(":")
        named = {"kind": spoken(kind).replace("face px", "face size, px"), "word": spoken(word)}
        yield named | {"label": SPOKEN[label], "share": share, "low": low, "high": high, "n": n}


def class_rows(shown: Judgement) -> list[dict[str, Any]]:
    """The confusion matrix: a row per true label, cells with count and share of the row."""
    rows = []
    for label, called in zip(LABELS, shown.detail.three_labels, strict=True):
        total = sum(called)
        cells = [{"n": n, "share": n / total if total else 0.0} for n in called]
        rows.append({"label": label, "n": total, "cells": cells})
    return rows


def slice_tables(shown: Judgement) -> list[dict[str, Any]]:
    """A table per kind of slice, in the order of ``KINDS``."""
    overall = shares_right(shown.report.score)
    tables = []
    for kind, meaning in KINDS.items():
        own = {n: s for n, s in shown.report.slices.items() if n.partition(":")[0] == kind}
        columns = [i for i in range(len(LABELS)) if any(s.counts[i] for s in own.values())]
        rows = [
            {
                "name": spoken(name.partition(":")[2] or "all badly worn").replace("-", DASH),
                "n": s.n,
                "groups": s.groups,
                "cells": [bar(s, i, overall[i]) for i in columns],
            }
            for name, s in own.items()
        ]
        if rows:
            tables.append({"meaning": meaning, "columns": [LABELS[i] for i in columns], "rows": rows})
    return tables


def bar(own: Slice, i: int, overall: float) -> dict[str, Any] | None:
    """A share with its interval and the share of all faces beside it, as places on an axis from ``LOWEST`` to 1."""
    share, (low, high) = shares_right(own.score)[i], intervals_right(own)[i]
    if math.isnan(share):
        return None
    return {
        "share": share,
        "n": own.counts[i],
        "words": f"{percent(share)}, 95% interval {percent(low, 0)} to {percent(high, 0)}, of {own.counts[i]} faces of "
        f"{own.group_counts[i]} people or scenes",
        "low": low,
        "high": high,
        "weak": own.is_weak(i, overall),
        "thin": own.counts[i] < FEW,
        "left": _place(low),
        "right": _place(high),
        "at": _place(share),
        "all": _place(overall),
    }


def _place(share: float) -> float:
    return round(100 * max(0.0, (share - LOWEST) / (1 - LOWEST)), 2)


def picture_charts(material: Material, on_other_faces: list[Bin]) -> dict[str, str]:
    """Every chart as an SVG; those without anything to show are empty. on_other_faces: of ``other_half``."""
    detail, figures = material.shown.detail, material.run.figures
    return {
        "loss": charts.loss(material.run) if figures else "",
        "accuracy": charts.accuracy(material.run) if figures else "",
        "roc": charts.roc(detail.curves) if detail.curves.roc or detail.curves.roc_badly_worn else "",
        "precision_recall": charts.precision_recall(detail.curves) if detail.curves.precision_recall else "",
        "wrong": charts.wrong_by_threshold(detail.sweep),
        "cost": charts.cost_by_threshold(detail.sweep) if detail.sweep.is_choice else "",
        "calibration": charts.calibration(detail.diagram, on_other_faces),
    }


def other_half(shown: Judgement) -> tuple[list[Bin], float]:
    """Calibration diagram and ECE where each face is answered by a calibration that was fitted without its group."""
    labels = true_labels(shown.rows)
    weights = class_weights(labels, AT_A_DOOR)
    p_mask = cross_calibrated(shown.logits, labels, weights, [r.group for r in shown.rows])[:, MASK_AT]
    return calibration_diagram(p_mask, labels), expected_calibration_error(p_mask, labels)


def calibration_words(shown: Judgement, on_other_faces: float) -> dict[str, Any]:
    c = shown.model.calibration
    used = (
        f"temperature {c.temperature:g}, bias of mask {c.bias[MASK_AT]:g}"
        if c.temperature != 1 or any(c.bias)
        else "none"
    )
    return {"used": used, "ece": shown.report.ece, "other_half": on_other_faces}


def comparison(material: Material) -> dict[str, Any] | None:
    """What ships beside the float network that it was made of."""
    if material.beside is None:
        return None
    pair = material.shown, material.beside
    same = agreement(pair[0].p_mask, pair[1].p_mask, pair[0].model.threshold)
    return {"columns": [j.report for j in pair], "agreement": same}


def settings_rows(run: Run) -> list[tuple[str, str]]:
    """The knobs that a reader can make sense of."""
    s, division = run.settings, run.division
    weights = "random" if s.weights is None else Path(s.weights).name
    start = f"the run {Path(s.start_from).name}" if s.start_from else weights
    judges = ", ".join(division.unseen) if division.judged_on == "unseen" else spoken(division.judged_on)
    rows = [
        ("recipe", s.recipe),
        ("input", f"{s.input_px} by {s.input_px} px, width {s.alpha:g}, margin {s.margin:.0%}"),
        ("started from", start),
        ("trained on", f"{division.trained:,} faces, {s.draws:,} draws an epoch, batches of {s.batch}"),
        ("epochs", f"{len(run.whole)} of {s.epochs}" + (f"; kept: {run.best.epoch}" if run.best else "")),
        ("each epoch judged on", f"{judges} ({division.judged:,} faces)"),
        ("learning rate, seed", f"{s.rate:g}, {s.seed}"),
    ]
    if division.leave_out:
        rows.append(("left out altogether", ", ".join(division.leave_out)))
    if run.timings:
        rows.append(("time", ", ".join(f"{what} {seconds:,.0f} s" for what, seconds in run.timings.items())))
    return rows


def face_rows(folder: Path, run: Run) -> list[dict[str, Any]]:
    """Faces by source, split and label, and what part a source had."""
    rows = read_manifest(folder)
    counts = Counter((r.source, r.split, r.label) for r in rows)
    roles = dict.fromkeys(run.division.unseen, "chose the epoch") | dict.fromkeys(run.division.leave_out, "left out")
    table = []
    for source in [*sorted({r.source for r in rows}), ""]:  # the last one is the sum
        own = [
            sum(n for (s, sp, la), n in counts.items() if (not source or s == source) and (sp, la) == (split, label))
            for split in (TRAIN, HELD_OUT)
            for label in LABELS
        ]
        table.append({"source": source or "all", "role": roles.get(source, ""), "counts": own, "sum": sum(own)})
    return table


def gallery(shown: Judgement) -> list[dict[str, Any]]:
    """Right and wrong ones of each class: a seeded draw, so that it is no choice of ours."""
    rng = np.random.default_rng(1)
    labels = true_labels(shown.rows)
    right = (shown.p_mask >= shown.model.threshold) == (labels == MASK_AT)
    sections = []
    for i, label in enumerate(LABELS):
        for is_right, title in ((True, "told right"), (False, "told wrong")):
            there = np.nonzero((labels == i) & (right == is_right))[0]
            picked = np.sort(rng.permutation(there)[:OF_A_CLASS]).tolist()
            if picked:
                named = {"title": f"{SPOKEN[label].capitalize()}, {title}", "of": len(there)}
                sections.append(named | {"right": is_right, "cards": cards(shown, picked)})
    return sections


def cards(shown: Judgement, places: Sequence[int]) -> list[dict[str, Any]]:
    """Crops as the model saw them, with what is said under each."""
    if not places:
        return []
    rows = [shown.rows[i] for i in places]
    crops = plain_crops(shown.folder, rows, shown.model.margin, shown.model.size_px)
    return [card(row, float(shown.p_mask[i]), crop) for row, i, crop in zip(rows, places, crops, strict=True)]


def card(row: FaceRow, p_mask: float, crop_rgb: ImageU8) -> dict[str, Any]:
    encoded = cv2.imencode(".jpg", crop_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return {
        "src": "data:image/jpeg;base64," + base64.b64encode(encoded).decode(),
        "side": crop_rgb.shape[0],
        "label": row.label,
        "p_mask": f"{p_mask:.3f}",
        "source": row.source,
    }
