"""Draws what was found into a copy of a picture, for a person to look at. Colours are the state, words say it again."""

from __future__ import annotations

from typing import Final

from edge.opencv import cv2
from edge.records import MASK, NO_MASK, Box, ImageU8

COLOURS_BGR: Final = {MASK: (80, 160, 0), NO_MASK: (40, 40, 220)}
OTHER_BGR: Final = (0, 150, 220)
FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def draw_face(image_bgr: ImageU8, box: Box, label: str, text: str) -> None:
    """Frame a face and write ``text`` above it (below where there is no room), into ``image_bgr`` itself."""
    colour = COLOURS_BGR.get(label, OTHER_BGR)
    height, width = image_bgr.shape[:2]
    unit = max(1, round(min(height, width) / 400))
    left, top = round(box.x), round(box.y)
    right, bottom = round(box.x + box.width), round(box.y + box.height)
    cv2.rectangle(image_bgr, (left, top), (right, bottom), colour, 2 * unit, cv2.LINE_AA)
    scale = 0.45 * unit
    (text_width, text_height), base = cv2.getTextSize(text, FONT, scale, unit)
    line_height = text_height + base + 2 * unit
    text_left = min(max(0, left - unit), max(0, width - text_width - 4 * unit))
    text_top = top - line_height if top >= line_height else min(bottom, height - line_height)
    cv2.rectangle(
        image_bgr,
        (text_left, text_top),
        (text_left + text_width + 4 * unit, text_top + line_height),
        colour,
        cv2.FILLED,
    )
    origin = (text_left + 2 * unit, text_top + text_height + unit)
    cv2.putText(image_bgr, text, origin, FONT, scale, (255, 255, 255), unit, cv2.LINE_AA)
