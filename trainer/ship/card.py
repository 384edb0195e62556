"""The model card: what it was trained on, how well it does and under which conditions, where it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.faces.labels import LABELS
from trainer.learn.runs import Settings
from trainer.ship.exported import Export

TEMPLATE = """# {name} {version}

Tells whether one face wears a mask: `mask` (over nose and mouth), `no_mask`, `incorrect` (a mask is there, nose or
mouth bare; events call it `no_mask` with `worn: "incorrect"`). It judges a crop of a face that a detector found; it
finds no faces and knows no persons.

| | |
|---|---|
| network | {architecture}, started from `{weights}` |
| input, output | {size} x {size} px RGB, {input}; three logits, {output}; {bytes:,} bytes |
| crop | face box, plus {margin:.0%} of its longer side on every side, squared, border repeated (`edge/preprocess.py`) |
| answer | p = softmax((logits + {bias}) / {temperature}); `mask` from p = {threshold} on |
| made with | {tensorflow}; {runtime} |

## How well it does

On {n} faces held out by group (person, scene, near-duplicates); crops as the device makes them, what ships on LiteRT
with its default kernels. The calibration that ships was fitted on all of them. No figure here is of a face that its
calibration saw: each half of the groups is judged by a calibration of the other half. {chosen} Faces of places that
training never saw do worse; judge it on your own.

| | {kind} (shipped) | float |
|---|---|---|
{comparison}

By slice, {kind}; what is read from pixels (`light`, `sharpness`, `skin`, `mask_colour`) was not labelled by anyone:

| slice | faces | mask right | bare right | badly worn called mask |
|---|---|---|---|---|
{slices}

## What it had to pass

| check | found | limit | verdict |
|---|---|---|---|
{gates}

## What it was trained on

Faces cut from photos collected from public repositories, by our detector where it found them. **The photos are not
shipped**: for most the rights are not stated, and the people in them did not agree to be part of this project.

{sources}

{limits}"""

LIMITS = """## Limits

- Bare faces hidden by something the training photos show rarely (scarves drawn up, food, microphones, hands seen from
  the side) may read as `mask`. Beards and sunglasses were looked at apart (above).
- Badly worn masks were few: {incorrect} training faces, some of one person. {pasted}
  A nose that peeks out of a small or blurred face is often missed.
- The photos over-represent East Asian and European adults of 2020 and before. {skin} Judge the model at your own door
  before you rely on it.
- Faces under 32 px, seen from behind or from straight above are outside of what it was made for.
- It is no medical device and says nothing about the quality of a mask.
"""

PASTED = "Bare faces with the mask of another set on them were added."
SKIN = """Skin tone was not labelled: the `skin` rows go by
  the Individual Typology Angle of the pixels about the eyes, which light and white balance move, and some are thin."""
NO_SKIN = "Skin tone is not measured."

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
    f = export.figures
    skin = SKIN if any(name.startswith("skin:") for name in f["slices"]) else NO_SKIN
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
        threshold=f["threshold"],
        kind=export.kind,
        input=export.input.dtype,
        output=export.output.dtype,
        chosen=chosen(told["chosen_by"]),
        gates="\n".join(row(g.name, g.found, g.wanted, g.verdict) for g in export.gates if g.repeats),
        tensorflow=told["tensorflow"],
        runtime=told["runtime"],
        n=f["n"],
        comparison="\n".join(comparison(export)),
        slices="\n".join(slice_rows(f)),
        sources="\n".join(sources(told["faces"])),
        limits=LIMITS.format(incorrect=incorrect, skin=skin, pasted=PASTED if settings.pasted != "off" else ""),
    )


def chosen(by: Mapping[str, Any]) -> str:
    """Which faces picked the epoch whose weights ship, as that flatters them."""
    if not by["selecting"]:
        return ""
    if by["judged_on"] == "unseen":
        return f"The epoch was chosen on {', '.join(by['unseen'])}, which was not trained on."
    return "The epoch was chosen on the same faces, which flatters a little."


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
        shares = (s["mask_recall"], s["no_mask_recall"], s["incorrect_called_mask"])
        of = [s["counts"].get(label) for label in LABELS]
        yield row(name, s["n"], *(f"{percent(v)} of {n}" if n else "-" for v, n in zip(shares, of, strict=True)))


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
