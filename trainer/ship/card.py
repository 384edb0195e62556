"""The model card: what it was trained on, how well it does and under which conditions, where it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.learn.runs import Settings
from trainer.ship.exported import Export

TEMPLATE = """# {name} {version}

Tells whether one face wears a mask: `mask` (over nose and mouth), `no_mask`, `incorrect` (a mask is there, nose or
mouth bare; events call it `no_mask` with `worn: "incorrect"`). It judges a crop of a face that a detector found; it
finds no faces and knows no persons.

| | |
|---|---|
| network | {architecture}, started from `{weights}` |
| input, output | {size} x {size} px RGB uint8; three uint8 logits; full integer, {bytes:,} bytes |
| crop | face box, plus {margin:.0%} of its longer side on every side, squared, border repeated (`edge/preprocess.py`) |
| answer | p = softmax((logits + {bias}) / {temperature}); `mask` from p = {threshold} on |
| made with | {tensorflow}; {runtime} |

## How well it does

On {n} faces held out by group (person, scene, near-duplicates) from the sources it was trained on; crops as the device
makes them, the shipped integers on LiteRT with its default kernels. The calibration was set on the same faces, so these
figures are a little flattered. Faces of other sources do worse; judge it on your own.

| | int8 (shipped) | float |
|---|---|---|
{comparison}

int8 and float give the same answer on {agreement:.2%} of them. By slice, int8:

| slice | faces | mask right | bare right | badly worn called mask |
|---|---|---|---|---|
{slices}

## What it was trained on

Faces cut from photos collected from public repositories, by our detector where it found them. **The photos are not
shipped**: for most the rights are not stated, and the people in them did not agree to be part of this project.

{sources}

{limits}"""

LIMITS = """## Limits

- Bare faces hidden by something the training photos show rarely (scarves drawn up, food, microphones, hands seen from
  the side) may read as `mask`. Beards and sunglasses were looked at apart (above).
- Badly worn masks were few: {incorrect} training faces, some of one person. {transplants}
  A nose that peeks out of a small or blurred face is often missed.
- The photos over-represent East Asian and European adults of 2020 and before. Skin tone was not labelled and is not
  measured here; judge the model at your own door before you rely on it.
- Faces under 32 px, seen from behind or from straight above are outside of what it was made for.
- It is no medical device and says nothing about the quality of a mask.
"""

TRANSPLANTS = "Bare faces with the mask of another set on them were added."

UNSTATED = "pictures' rights not stated"
SETS = {
    "ilc2021": f"`jolignier/face-mask-dataset-ilc-2021`; {UNSTATED}",
    "street_masks": f"`KaranFriends/Mask-Dataset` (RMFD part 2, web photos); {UNSTATED}",
    "rmfd_persons": f"RMFD part 2 by way of `KaranFriends/Mask-Dataset`; {UNSTATED}",
    "film_stills": f"`KaranFriends/Mask-Dataset`; {UNSTATED}",
    "mask_types": "`karysutariya/Facemask-type-detection` and `smitdesai1010/COMP6721---Face-Mask-Classification`; "
    + UNSTATED,
    "incorrect_more": f"as `mask_types`; {UNSTATED}",
    "chandrika": f"`chandrikadeb7/Face-Mask-Detection`, repository MIT; {UNSTATED}",
    "omkargurav": f"Kaggle `omkargurav/face-mask-dataset` by way of `syrtm/face-mask-detection` (MIT); {UNSTATED}",
    "odd_masks": "`vyivanov/ds-masters_hack-1`; free for educational and research purposes",
    "actors5": f"`jasmcaus/opencv-course`, repository MIT; {UNSTATED}",
}


def card(name: str, version: str, export: Export, told: Mapping[str, Any], settings: Settings) -> str:
    """CARD.md. told: ``bundle.provenance``."""
    incorrect = sum(own.get("incorrect", 0) for own in told["faces"]["train"].values())
    return TEMPLATE.format(
        name=name,
        version=version,
        architecture=told["architecture"],
        weights=told["weights"],
        size=settings.input_px,
        bytes=len(export.model),
        margin=settings.margin,
        bias=list(export.calibration.bias),
        temperature=export.calibration.temperature,
        threshold=export.figures["threshold"],
        tensorflow=told["tensorflow"],
        runtime=told["runtime"],
        n=export.figures["n"],
        comparison="\n".join(comparison(export)),
        agreement=export.agreement,
        slices="\n".join(slice_rows(export.figures)),
        sources="\n".join(sources(told["faces"])),
        limits=LIMITS.format(incorrect=incorrect, transplants=TRANSPLANTS if settings.transplants else ""),
    )


def comparison(export: Export) -> Iterator[str]:
    pair = export.figures, export.float_figures
    yield row("balanced accuracy, mask against no_mask", *(percent(f["balanced_accuracy"]) for f in pair))
    yield row("95% interval (bootstrap over groups)", *(" to ".join(map(percent, f["ci95"])) for f in pair))
    for label in export.figures["per_class"]:
        recalls = (f["per_class"][label] for f in pair)
        yield row(
            f"{label} right" if label != "incorrect" else "incorrect called no_mask (right)", *map(counted, recalls)
        )
    yield row("expected calibration error", *(str(f["ece"]) for f in pair))


def counted(cell: Mapping[str, Any]) -> str:
    return f"{percent(cell['recall'])} of {cell['n']}"


def slice_rows(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, s in figures["slices"].items():
        cells = (s["mask_recall"], s["no_mask_recall"], s["incorrect_called_mask"])
        yield row(name, s["n"], *map(percent, cells))


def sources(faces: Mapping[str, Any]) -> Iterator[str]:
    yield row("set", "origin", "trained on", "held out")
    yield row("---", "---", "---", "---")
    for source in sorted({*faces["train"], *faces["held_out"]}):
        cells = (
            ", ".join(f"{n} {label}" for label, n in faces[s].get(source, {}).items()) for s in ("train", "held_out")
        )
        yield row(source, SETS.get(source, "a set of the site's own"), *(c or "-" for c in cells))


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
