"""The model card: what it was trained on, how well it does and under which conditions, where it fails."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edge.records import INCORRECT
from trainer.faces.labels import LABELS
from trainer.faces.manifest import HELD_OUT, TRAIN
from trainer.learn.runs import Settings
from trainer.ship.exported import Export
from trainer.ship.gates import WARN, Gate

TEMPLATE = """# {name} {version}

Tells whether one face wears a mask: `mask` (over nose and mouth), `no_mask`, `incorrect` (a mask is there, nose or
mouth bare; events call it `no_mask` with `worn: "incorrect"`). It judges a crop of a face that a detector found; it
finds no faces and knows no persons.

| | |
|---|---|
| network | {architecture}, started from {weights} |
| input, output | {size} x {size} px RGB, {input}; three logits, {output}; {bytes:,} bytes |
| crop | face box, plus {margin:.0%} of its longer side on every side, squared, border repeated (`edge/preprocess.py`) |
| answer | p = softmax((logits + {bias}) / {temperature}); `mask` from p = {threshold} on |
| made with | {tensorflow}; {runtime} |

## How well it does

On {n} faces held out by group (person, scene, near-duplicates); crops as the device makes them, what ships on LiteRT
with its default kernels. The calibration that ships was fitted on all of them. No figure here is of a face that its
calibration saw: each half of the groups is judged by a calibration of the other half. The threshold was chosen on them
as the one at which a face of each class costs least, a wrong one costing 1 in each. {chosen} Faces of places that
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

Faces cut from the photos of these sets, by our detector where it found them. **The photos are not shipped.**

{sources}
{photos}
{limits}"""

LIMITS = """## Limits

- Bare faces hidden by something the training photos show rarely (scarves drawn up, food, microphones, hands seen from
  the side) may read as `mask`. {apart}
- Badly worn masks it was trained on: {incorrect} faces.{worn}{pasted}
  A nose that peeks out of a small or blurred face is easily missed.
- {people} {skin} Judge the model at your own door before you rely on it.
- Faces under 32 px, seen from behind or from straight above are outside of what it was made for.
- It is no medical device and says nothing about the quality of a mask.
"""

PASTED: Final = {
    "off": "",
    "transplants": " Bare faces with the mask of another face of the training set on them were added.",
    "drawn": " Bare faces with a drawn mask on them were added.",
    "both": " Bare faces with a drawn mask, or with that of another face of the training set, on them were added.",
}
PEOPLE = "Whom the training photos show, and whom too rarely, was not recorded."
SKIN = """Skin tone was not labelled: the `skin` rows go by
  the Individual Typology Angle of the pixels about the eyes, which light and white balance move."""
NO_SKIN = "Skin tone is not measured."

KNOWN: Final = tomllib.loads(Path(__file__).with_name("known_sources.toml").read_text("utf-8"))
ORIGINS: Final[Mapping[str, str]] = KNOWN["origins"]


def card(name: str, version: str, export: Export, told: Mapping[str, Any], settings: Settings) -> str:
    """CARD.md. told: ``bundle.provenance``."""
    f = export.figures
    photos = claim("photos", (source for part in told["faces"].values() for source in part))
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
        chosen=chosen(told, f["n"]),
        gates="\n".join(row(g.name, g.found, g.wanted, verdict(g)) for g in export.gates if g.repeats),
        tensorflow=told["tensorflow"],
        runtime=told["runtime"],
        n=f["n"],
        comparison="\n".join(comparison(export)),
        slices="\n".join(slice_rows(f)),
        sources="\n".join(sources(told["faces"])),
        photos=f"\n{photos}\n" if photos else "",
        limits=limits(told["faces"], f["slices"], settings.pasted),
    )


def limits(faces: Mapping[str, Any], slices: Iterable[str], pasted: str) -> str:
    hiding = [name.removeprefix("bare:").replace("_", " ") for name in slices if name.startswith("bare:")]
    hiding = [what for what in hiding if what != "all of these"]
    worn = [source for source, own in faces[TRAIN].items() if INCORRECT in own]
    return LIMITS.format(
        apart=f"Looked at apart (above): {', '.join(hiding)}." if hiding else "None of it was looked at apart.",
        incorrect=sum(own.get(INCORRECT, 0) for own in faces[TRAIN].values()),
        worn=claim("badly_worn", worn),
        pasted=PASTED[pasted],
        people=claim("people", faces[TRAIN]) or PEOPLE,
        skin=SKIN if any(name.startswith("skin:") for name in slices) else NO_SKIN,
    )


def claim(what: str, sources: Iterable[str]) -> str:
    """What is known of the project's own sets, where one of the sources is such a set; else nothing."""
    return str(KNOWN["claims"][what]) if any(source in ORIGINS for source in sources) else ""


def chosen(told: Mapping[str, Any], n: int) -> str:
    """Which faces picked the epoch whose weights ship, as that flatters them. n: held-out faces."""
    by, held_out = told["chosen_by"], told["faces"][HELD_OUT]
    if not by["selecting"]:
        earlier = " of its last run" if len(told["epochs_of_runs"]) > 1 else ""
        return f"No epoch{earlier} was chosen on any of these faces."
    if by["judged_on"] == "unseen":
        shared = sum(sum(held_out.get(source, {}).values()) for source in by["unseen"])
        shown = f"; {shared} of the {n} faces here are of them, which flatters a little" if shared else ""
        return f"The epoch was chosen on all faces of {', '.join(by['unseen'])}, none of which was trained on{shown}."
    return "The epoch was chosen on the same faces, which flatters a little."


def verdict(gate: Gate) -> str:
    """With the reason of a warning."""
    return f"{gate.verdict}: {gate.note}" if gate.verdict == WARN else gate.verdict


def comparison(export: Export) -> Iterator[str]:
    pair = export.figures, export.float_figures
    yield row("balanced accuracy, mask against no_mask", *(percent(f["balanced_accuracy"]) for f in pair))
    yield row("95% interval (whole groups drawn)", *(" to ".join(map(percent, f["ci95"])) for f in pair))
    for label in export.figures["per_class"]:
        recalls = (f["per_class"][label] for f in pair)
        yield row(
            f"{label} right" if label != INCORRECT else "incorrect called no_mask (right)", *map(counted, recalls)
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
    for source in sorted({*faces[TRAIN], *faces[HELD_OUT]}):
        cells = (", ".join(f"{n} {label}" for label, n in faces[s].get(source, {}).items()) for s in (TRAIN, HELD_OUT))
        yield row(source, ORIGINS.get(source, "not recorded"), *(c or "-" for c in cells))


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
