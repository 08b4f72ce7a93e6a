"""A confusion matrix as a picture and as CSV."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..attributes.evaluation import LabelMetrics
from ..datasets.files import write_atomic

_CELL_PX, _GAP_PX, _PAD_PX, _FONT_PX = 44, 2, 16, 15
_INK, _FAINT, _GROUND = (32, 36, 42), (122, 128, 136), (255, 255, 255)
_EMPTY, _RIGHT, _WRONG = (244, 245, 247), (38, 110, 92), (196, 82, 48)
NO_VALUE = "(none)"


def shown_labels(metrics: LabelMetrics) -> tuple[list[str], list[str], np.ndarray]:
    """Row labels, column labels and counts (rows, columns): values that neither occur nor were predicted are left out."""
    used = (metrics.confusion.sum(axis=0) + metrics.confusion.sum(axis=1)) > 0
    used[-1] = False
    labels = [*metrics.values, NO_VALUE]
    rows = np.flatnonzero(np.r_[used[:-1], metrics.confusion[-1].any()])
    columns = np.flatnonzero(np.r_[used[:-1], metrics.confusion[:, -1].any()])
    return [labels[i] for i in rows], [labels[j] for j in columns], metrics.confusion[np.ix_(rows, columns)]


def write_confusion_csv(metrics: LabelMetrics, path: Path) -> None:
    """Counts, truth down, prediction across."""
    rows, columns, counts = shown_labels(metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth \\ predicted", *columns])
    writer.writerows([label, *map(int, line)] for label, line in zip(rows, counts, strict=True))
    write_atomic(path, text.getvalue())


def draw_confusion(metrics: LabelMetrics, *, title: str) -> Image.Image:
    """RGB picture: counts in every cell, shade by share of the row, right answers in one colour, mistakes in another."""
    rows, columns, counts = shown_labels(metrics)
    font, large = ImageFont.load_default(_FONT_PX), ImageFont.load_default(_FONT_PX + 4)
    left = _PAD_PX + 26 + int(max(font.getlength(label) for label in rows)) + 8
    top = _PAD_PX + 64 + int(max(font.getlength(label) for label in columns)) + 8
    grid_width, grid_height = _CELL_PX * len(columns), _CELL_PX * len(rows)
    picture = Image.new("RGB", (max(left + grid_width + 70, 420), top + grid_height + _PAD_PX), _GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((_PAD_PX, _PAD_PX), title, _INK, large)
    accuracy = f"{metrics.accuracy:.1%} of {metrics.support:,} right"
    kind = accuracy + (", first values of each" if metrics.jaccard is not None else "")
    draw.text((_PAD_PX, _PAD_PX + 24), kind, _FAINT, font)
    draw.text((left, _PAD_PX + 44), "predicted", _FAINT, font)
    _turned_text(picture, "truth", (_PAD_PX, top), font, _FAINT, down=True)
    for j, label in enumerate(columns):
        _turned_text(picture, label, (left + j * _CELL_PX + (_CELL_PX - _FONT_PX) // 2 - 2, top - 8), font, _INK)
    for i, label in enumerate(rows):
        middle = top + i * _CELL_PX + _CELL_PX // 2
        draw.text((left - 8, middle), label, _INK, font, anchor="rm")
        for j, other in enumerate(columns):
            _cell(draw, (left + j * _CELL_PX, top + i * _CELL_PX), counts[i, j], counts[i].sum(), label == other, font)
        draw.text((left + grid_width + 8, middle), f"{int(counts[i].sum()):,}", _FAINT, font, anchor="lm")
    return picture


def _cell(draw: ImageDraw.ImageDraw, corner: tuple[int, int], count: int, row_sum: int, right: bool, font) -> None:
    x, y = corner
    share = count / row_sum if row_sum else 0.0
    # The square root keeps a 5 % mistake visible beside a 90 % diagonal.
    weight = share**0.5
    colour = tuple(round(e + (f - e) * weight) for e, f in zip(_EMPTY, _RIGHT if right else _WRONG, strict=True))
    draw.rectangle((x, y, x + _CELL_PX - _GAP_PX - 1, y + _CELL_PX - _GAP_PX - 1), fill=colour)
    if count:
        ink = _GROUND if weight > 0.55 else _INK
        draw.text((x + _CELL_PX // 2 - 1, y + _CELL_PX // 2 - 1), str(int(count)), ink, font, anchor="mm")


def _turned_text(picture: Image.Image, text: str, at: tuple[int, int], font, colour, *, down: bool = False) -> None:
    """Text read from below; ``at`` is its lower left corner, or with ``down`` its upper left."""
    width, height = int(font.getlength(text)) + 2, _FONT_PX + 6
    strip = Image.new("L", (width, height), 0)
    ImageDraw.Draw(strip).text((0, 0), text, 255, font)
    turned = strip.rotate(90, expand=True)
    x, y = at
    picture.paste(colour, (x, y if down else y - turned.height), turned)
