"""A picture sheet of one class, for a human to look at before anything is trained on it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from trainer.faces.crops import plain_crops
from trainer.faces.manifest import FaceRow
from trainer.whole import replace_file

FACES: Final = 120
ACROSS: Final = 12
FACE_PX, GAP_PX, TEXT_PX, TITLE_PX = 96, 6, 11, 30
MARGIN: Final = 0.2
INK, PAPER, GREY = (25, 25, 25), (255, 255, 255), (110, 110, 110)
JPEG_QUALITY: Final = 88


def draw_evenly(rows: Sequence[FaceRow], count: int, seed: int) -> list[FaceRow]:
    """At most ``count`` faces, as many of each source as of any other while it has some; by source, then at random."""
    by_source: dict[str, list[FaceRow]] = defaultdict(list)
    for row in rows:
        by_source[row.source].append(row)
    for own in by_source.values():
        random.Random(seed).shuffle(own)
    taken: Counter[str] = Counter()
    while taken.total() < min(count, len(rows)):
        source = min((s for s in by_source if taken[s] < len(by_source[s])), key=lambda s: (taken[s], s))
        taken[source] += 1
    return [row for source in sorted(by_source) for row in by_source[source][: taken[source]]]


def draw_sheet(folder: Path, label: str, rows: Sequence[FaceRow], seed: int) -> Image.Image:
    """The faces of one class as the device would cut them, the source under each. rows: the class's, not empty."""
    shown = draw_evenly(rows, FACES, seed)
    step, high = FACE_PX + GAP_PX, FACE_PX + GAP_PX + TEXT_PX + 3
    down = -(-len(shown) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * step + GAP_PX, TITLE_PX + down * high + GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    sources = len({r.source for r in rows})
    title = f"{label}: {len(shown)} of {len(rows):,} faces, drawn evenly from {sources} source{'s'[: sources != 1]}"
    pen.text((GAP_PX, 7), title, INK, ImageFont.load_default(16))
    font = ImageFont.load_default(TEXT_PX)
    for i, (row, crop) in enumerate(zip(shown, plain_crops(folder, shown, MARGIN, FACE_PX), strict=True)):
        left, top = GAP_PX + i % ACROSS * step, TITLE_PX + i // ACROSS * high
        sheet.paste(Image.fromarray(crop), (left, top))
        pen.text((left, top + FACE_PX + 1), _fitting(row.source, pen, font), GREY, font)
    return sheet


def _fitting(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    text = text.encode(errors="replace").decode()  # a folder's name need not be UTF-8
    while len(text) > 1 and pen.textlength(text, font) > FACE_PX:
        text = text[:-2] + "…"
    return text


def write_sheets(folder: Path, rows: Sequence[FaceRow], seed: int) -> list[Path]:
    """``sheet-LABEL.jpg`` per class. Raises DiskError."""
    paths = []
    for label in sorted({r.label for r in rows}):
        sheet = draw_sheet(folder, label, [r for r in rows if r.label == label], seed)
        path = folder / f"sheet-{label}.jpg"
        replace_file(path, lambda p, sheet=sheet: sheet.save(p, "JPEG", quality=JPEG_QUALITY))  # type: ignore[misc]
        paths.append(path)
    return paths
