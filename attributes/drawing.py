"""Outlines and labels on a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .results import Item

# Hues far from each other, light enough to stand on a dark rim: pink, green, amber, blue, violet, teal.
COLOURS = ("#ff4f8b", "#3ddc84", "#ffb020", "#4da3ff", "#b18cff", "#20d5c8")


def colour_of(index: int) -> str:
    """The outline colour "#rrggbb" of the index-th product of a photo."""
    return COLOURS[index % len(COLOURS)]


def draw_items(rgb: np.ndarray, items: Sequence[Item], *, max_side_px: int | None = None) -> Image.Image:
    """Draw every item's outline, then every label (so that no outline runs through a text).

    rgb: uint8 (h, w, 3); it is not changed. The outline is a bright line on a dark rim: it shows on any ground.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, max_side_px / max(height, width)) if max_side_px else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb.copy()
    line_px = max(2, round(max(size) / 220))
    for index, item in enumerate(items):
        mask = cv2.resize(item.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, (20, 20, 24), line_px * 2, cv2.LINE_AA)
        colour = tuple(int(colour_of(index)[i : i + 2], 16) for i in (1, 3, 5))
        cv2.drawContours(canvas, contours, -1, colour, line_px, cv2.LINE_AA)
    picture = Image.fromarray(canvas)
    for index, item in enumerate(items):
        _draw_label(picture, item.xyxy[0] * scale, item.xyxy[1] * scale, item.label, colour_of(index))
    return picture


def _draw_label(picture: Image.Image, x: float, y: float, text: str, colour: str) -> None:
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(11, round(max(picture.size) / 36)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad_px = max(2, (bottom - top) // 3)
    width, height = right - left + 2 * pad_px, bottom - top + 2 * pad_px
    # Above the box where there is room, and never past the picture's edge.
    x = max(0, min(x, picture.width - width))
    y = max(0, min(y - height, picture.height - height))
    draw.rectangle((x, y, x + width, y + height), fill=(20, 20, 24))
    draw.text((x + pad_px - left, y + pad_px - top), text, font=font, fill=colour)
