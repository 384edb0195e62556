"""The worst mistakes as one picture: the most confident ones first, as the model saw them, enlarged.

It shows faces of people: it is for the eyes of who trains, and not to be passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.errors import OutputError
from edge.records import INCORRECT, MASK, NO_MASK, ImageU8
from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.judge.evaluate import true_labels
from trainer.judge.models import Judged
from trainer.metrics import MASK_AT, Floats
from trainer.whole import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

MOST: Final = 40
PER_ROW: Final = 8
TILE_PX, CAPTION_PX, GAP_PX = 168, 62, 12
INK, PALE, PAPER = (25, 28, 33), (95, 101, 110), (255, 255, 255)
SPOKEN: Final = {MASK: "mask", NO_MASK: "no mask", INCORRECT: "badly worn"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One face that is called wrong. at: its place in the rows judged."""

    at: int
    row: FaceRow
    p_mask: float
    called: str


def mistakes(p_mask: Floats, rows: Sequence[FaceRow], threshold: float, most: int | None = MOST) -> list[Mistake]:
    """Faces called mask that are none, or none that are, the surest first. p_mask: (n,) of ``rows``."""
    called_mask = p_mask >= threshold
    wrong = np.nonzero(called_mask != (true_labels(rows) == MASK_AT))[0]
    sureness = np.where(called_mask, p_mask, 1 - p_mask)[wrong]
    order = wrong[np.argsort(-sureness, kind="stable")][:most].tolist()
    return [Mistake(i, rows[i], float(p_mask[i]), MASK if called_mask[i] else NO_MASK) for i in order]


def write_sheet(path: Path, found: Sequence[Mistake], folder: Path, model: Judged) -> None:
    """Draw the mistakes into one JPEG or PNG. Raises OutputError where it cannot be made there, or DiskError."""
    refuse_place(path)
    crops = plain_crops(folder, [m.row for m in found], model.margin, model.size_px)
    picture = sheet(found, crops)
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    replace_file(path, lambda beside: picture.save(beside, kind, quality=92))


def refuse_place(path: Path) -> None:
    """Said before the long work, not after it."""
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or path.is_dir():
        raise OutputError(f"{path} is to be a picture: name it .jpg or .png")
    if not path.parent.is_dir():
        raise OutputError(f"no folder {path.parent} to put {path.name} into: make it first")


def sheet(found: Sequence[Mistake], crops_rgb: ImageU8) -> Image:
    """crops_rgb: (n, side, side, 3) of the same faces."""
    from PIL import Image, ImageDraw, ImageFont

    across, down = min(PER_ROW, len(found)), -(-len(found) // PER_ROW)
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    picture = Image.new("RGB", (across * step_x + GAP_PX, down * step_y + GAP_PX), PAPER)
    draw = ImageDraw.Draw(picture)
    bold, plain = ImageFont.load_default(size=15), ImageFont.load_default(size=13)
    for i, (mistake, crop) in enumerate(zip(found, crops_rgb, strict=True)):
        x, y = GAP_PX + i % PER_ROW * step_x, GAP_PX + i // PER_ROW * step_y
        picture.paste(Image.fromarray(crop).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC), (x, y))
        lines = (f"label: {SPOKEN[mistake.row.label]}", bold, INK), (f"p(mask) {mistake.p_mask:.3f}", plain, INK)
        for line, (text, font, colour) in enumerate((*lines, (mistake.row.source[:24], plain, PALE))):
            draw.text((x, y + TILE_PX + 4 + 19 * line), text, colour, font=font)
    return picture
