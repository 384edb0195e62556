"""The charts of ``trainer report``, each as an SVG that a page can hold: no script, no font file, nothing fetched."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trainer.judge.costs import Sweep
from trainer.judge.curves import Curve, Curves
from trainer.learn.runs import HEAD, Run
from trainer.metrics import Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MASK_INK, BARE_INK, WORN_INK = "#0a6c8f", "#b8501b", "#77489e"  # told apart by colour-blind eyes, and from white
INK, PALE, GRID = "#1b1f24", "#59636e", "#e4e8ec"
NARROW: Final = 0.07  # range of an axis in which whole percents would repeat
ALMOST_ALL: Final = 0.995  # of the masks; to find the last ones everything is called mask, and the curve falls to half
SIZE_IN: Final = (4.7, 3.3)  # at a phone's width it is shown about as large, so its text stays readable
STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mask-edge",  # the same chart gives the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#aab2bb",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "lines.linewidth": 1.9,
    "legend.frameon": False,
    "legend.fontsize": 8.8,
}


class Chart:
    """One chart while it is drawn; ``svg`` is filled at the end of the block."""

    svg: str = ""


@contextmanager
def chart() -> Iterator[tuple[Axes, Chart]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    made = Chart()
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        yield axes, made
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None}, transparent=True)
        made.svg = held.getvalue()


def _percent(axes: Axes, *, x: bool = False, y: bool = False) -> None:
    from matplotlib.ticker import PercentFormatter

    for axis, asked in ((axes.xaxis, x), (axes.yaxis, y)):
        if asked:
            low, high = sorted(axis.get_view_interval())
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > NARROW else 1))


def loss(run: Run) -> str:
    """Loss by epoch, of the varied training faces and of the judged ones."""
    return _by_epoch(run, "loss", {"training": ("loss", INK), "judged faces": ("judged_loss", MASK_INK)})


def accuracy(run: Run) -> str:
    """Shares right by epoch; those of the judged faces are the ones that count."""
    lines = {
        "training (varied)": ("accuracy", INK),
        "judged: balanced": ("balanced", "#2c7a3f"),
        "judged: masked right": ("mask_right", MASK_INK),
        "judged: bare right": ("bare_right", BARE_INK),
    }
    return _by_epoch(run, "share right", lines)


def _by_epoch(run: Run, what: str, lines: dict[str, tuple[str, str]]) -> str:
    from matplotlib.ticker import MaxNLocator

    with chart() as (axes, made):
        x = range(1, len(run.figures) + 1)
        for label, (name, colour) in lines.items():
            axes.plot(x, [getattr(f, name) for f in run.figures], color=colour, label=label, marker="o", markersize=3)
        heads = sum(f.phase == HEAD for f in run.figures)
        if heads:
            axes.axvspan(0.5, heads + 0.5, color="#f1f4f7", zorder=0)
            axes.text(0.6, 1.0, "head only", transform=axes.get_xaxis_transform(), va="bottom", color=PALE, size=8.5)
        if run.chosen is not None:
            axes.axvline(run.chosen + 1, color=PALE, linestyle=":", linewidth=1.4, label="kept")
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if what != "loss":
            _percent(axes, y=True)
        axes.legend()
    return made.svg


def roc(found: Curves) -> str:
    """Both ROC curves on one logarithmic axis: what matters lies below a few percent."""
    with chart() as (axes, made):
        _curve(axes, found.roc, BARE_INK, "against bare")
        _curve(axes, found.roc_badly_worn, WORN_INK, "against badly worn")
        axes.set_xscale("symlog", linthresh=0.01, linscale=0.6)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.01, 0.03, 0.1, 0.3, 1], ["0%", "1%", "3%", "10%", "30%", "100%"])
        axes.minorticks_off()
        axes.set_ylim(_floor([found.roc, found.roc_badly_worn], 0.02), 1.004)
        axes.set_xlabel("called mask though it is none")
        axes.set_ylabel("masks that are found")
        _percent(axes, y=True)
        axes.legend(loc="lower right")
    return made.svg


def precision_recall(found: Curves) -> str:
    with chart() as (axes, made):
        curve = found.precision_recall
        _curve(axes, curve, MASK_INK, "masked, against as many bare")
        axes.set_xlabel("masks that are found (recall)")
        axes.set_ylabel("right of those called mask")
        axes.set_xlim(0.5, 1.005)
        known = [y for x, y in zip(curve.x, curve.y, strict=True) if x <= ALMOST_ALL] if curve else []
        axes.set_ylim(max(0.0, min(known, default=0.0) - 0.02), 1.002)
        _percent(axes, x=True, y=True)
        axes.legend(loc="lower left")
    return made.svg


def _curve(axes: Axes, curve: Curve | None, colour: str, label: str) -> None:
    if curve is not None:
        axes.plot(curve.x, curve.y, color=colour, label=f"{label} (area {curve.area:.3f})", drawstyle="steps-post")


def _floor(curves: Sequence[Curve | None], from_x: float) -> float:
    """Where the axis of shares begins, so that the bend of the curves fills the picture."""
    known = [y for curve in curves if curve for x, y in zip(curve.x, curve.y, strict=True) if x >= from_x]
    return max(0.0, min(known, default=0.0) - 0.15)


def calibration(diagram: Sequence[Bin], other_half: Sequence[Bin]) -> str:
    """Share of masks among faces by what the model says of them, with intervals; on the diagonal it is honest.

    other_half: the same with calibrations that were fitted without the faces that they answer.
    """
    with chart() as (axes, made):
        axes.plot([0, 1], [0, 1], color="#aab2bb", linewidth=1.2, linestyle="--", label="honest")
        axes.plot(
            [b.said for b in other_half],
            [b.true for b in other_half],
            color=PALE,
            linewidth=1.3,
            marker="s",
            markersize=3.5,
            label="calibrated on the other half",
        )
        below_above = [[b.true - b.ci95[0] for b in diagram], [b.ci95[1] - b.true for b in diagram]]
        axes.errorbar(
            [b.said for b in diagram],
            [b.true for b in diagram],
            yerr=below_above,
            color=MASK_INK,
            marker="o",
            markersize=4.5,
            capsize=2.5,
            elinewidth=1.2,
            label="as judged here, 95%",
        )
        axes.set_xlabel("p(mask) that the model says")
        axes.set_ylabel("share that wears a mask")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        _percent(axes, x=True, y=True)
        axes.figure.legend(loc="outside upper left", ncols=2)  # within the axes there is no free place for it
    return made.svg


def wrong_by_threshold(sweep: Sweep) -> str:
    lines = {
        "masked called no mask": ("mask_wrong", MASK_INK),
        "bare called mask": ("bare_wrong", BARE_INK),
        "badly worn called mask": ("incorrect_wrong", WORN_INK),
    }
    with chart() as (axes, made):
        for label, (name, colour) in lines.items():
            axes.plot(*_swept(sweep, name), color=colour, label=label)
        _thresholds(axes, sweep)
        axes.set_ylabel("share that is wrong")
        axes.set_ylim(0, max(_most(sweep, name) for name, _ in lines.values()))
        _percent(axes, y=True)
        axes.legend()
    return made.svg


def cost_by_threshold(sweep: Sweep) -> str:
    with chart() as (axes, made):
        axes.plot(*_swept(sweep, "cost"), color=INK, label="cost")
        axes.plot(
            sweep.cheapest.threshold, sweep.cheapest.cost, "o", color="#2c7a3f", markersize=7, label="cheapest here"
        )
        _thresholds(axes, sweep)
        axes.set_ylabel("cost of one face of each class")
        axes.set_ylim(0, _most(sweep, "cost"))
        axes.legend()
    return made.svg


def _swept(sweep: Sweep, name: str) -> tuple[list[float], list[Any]]:
    return [p.threshold for p in sweep.points], [getattr(p, name) for p in sweep.points]


def _most(sweep: Sweep, name: str) -> float:
    """Height of the axis: between 0.05 and 0.95, beyond which no threshold is sensible and the lines shoot up."""
    known = [getattr(p, name) for p in sweep.points if 0.05 <= p.threshold <= 0.95]
    return max(0.02, 1.12 * max((v for v in known if not math.isnan(v)), default=0.0))


def _thresholds(axes: Axes, sweep: Sweep) -> None:
    axes.axvline(sweep.used.threshold, color=PALE, linestyle=":", linewidth=1.4, label="in use")
    axes.set_xlabel("threshold: from this p(mask) on it is called mask")
    axes.set_xlim(0, 1)
