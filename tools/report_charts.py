"""Charts of the evaluation report as plain SVG and HTML strings: no script, no library, nothing from outside.

Every function escapes the names it is given. Sizes are CSS px; a chart scales with its column.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..attributes.evaluation import LabelMetrics
from .confusion import shown_labels

# Told apart by the colour-blind too (Okabe & Ito 2008), dark enough on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a6a00", "#56b4e9", "#5b3b8c", "#444444")
_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 40


@dataclass(frozen=True)
class Series:
    """One line: x, y float (n,), NaN points left out. colour: of PALETTE by its place unless given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str | None = None
    dashed: bool = False
    points: bool = False


def lines(series: Sequence[Series], *, x: str, y: str, title: str = "", level: float | None = None) -> str:
    """A figure of lines over 0..1 x 0..1 with its legend; "" without any. level: a dashed line across at this y."""
    series = [one for one in series if len(one.x)]
    if not series:
        return ""
    body = [_axes(x, y)]
    if level is not None:
        body.append(f'<path class="diag" d="M{_px(0):g} {_py(level):.1f}H{_px(1):g}"/>')
    legend = []
    for i, one in enumerate(series):
        colour = one.colour or PALETTE[i % len(PALETTE)]
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        where = [(_px(a), _py(b)) for a, b in zip(one.x, one.y, strict=True) if math.isfinite(a) and math.isfinite(b)]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in where) if where else ""
        body.append(f'<path class="curve" stroke="{colour}"{dash} d="{path}"><title>{escape(one.name)}</title></path>')
        if one.points:
            body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="{colour}"/>' for a, b in where]
        legend.append(f'<li><i style="background:{colour}"></i>{escape(one.name)}</li>')
    key = f'<ul class="key">{"".join(legend)}</ul>' if len(series) > 1 or series[0].name else ""
    return _figure(title, "".join(body), key)


def reliability_plot(bins: np.ndarray, *, title: str = "", note: str = "") -> str:
    """bins: float (b, 3), mean confidence, share that is right, count (``calibration.reliability``). Bars of the share
    against the diagonal; the fainter a bar, the fewer answers it holds."""
    bins = np.asarray(bins, np.float64)
    if not len(bins) or not bins[:, 2].sum():
        return ""
    edges = np.linspace(0, 1, len(bins) + 1)
    body = [_axes("confidence", "share right")]
    most = bins[:, 2].max()
    for i, (confidence, right, count) in enumerate(bins):
        if not count:
            continue
        x0, x1, top = _px(edges[i]) + 1, _px(edges[i + 1]) - 1, _py(right)
        opacity = 0.25 + 0.75 * math.sqrt(count / most)
        tip = f"{int(count):,} answers, confidence {confidence:.2f}, {right:.2f} right"
        body.append(
            f'<rect x="{x0:.1f}" y="{top:.1f}" width="{x1 - x0:.1f}" height="{max(_py(0) - top, 1):.1f}" '
            f'fill="{PALETTE[0]}" fill-opacity="{opacity:.2f}"><title>{tip}</title></rect>'
        )
    body.append(f'<path class="diag" d="M{_px(0):g} {_py(0):g}L{_px(1):g} {_py(1):g}"/>')
    return _figure(title, "".join(body), f'<p class="foot">{escape(note)}</p>' if note else "")


def _figure(title: str, body: str, foot: str) -> str:
    head = f"<figcaption>{escape(title)}</figcaption>" if title else ""
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title or "chart")}">{body}</svg>'
    return f'<figure class="chart">{head}{svg}{foot}</figure>\n'


def _axes(x: str, y: str) -> str:
    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        parts.append(
            f'<path class="grid" d="M{_px(tick):.1f} {_py(0):.1f}V{_py(1):.1f}M{_px(0):.1f} {_py(tick):.1f}H{_px(1):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_px(tick):.1f}" y="{_py(0) + 15:.1f}" text-anchor="middle">{tick:g}</text>'
        )
        parts.append(
            f'<text class="tick" x="{_px(0) - 6:.1f}" y="{_py(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text class="axis" x="{_px(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text class="axis" x="12" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle:.1f})">{escape(y)}</text>'
    )
    return "".join(parts)


def _px(x: float) -> float:
    return _LEFT + x * (_WIDTH - _LEFT - _RIGHT)


def _py(y: float) -> float:
    return _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)


def bars(
    rows: Iterable[tuple[str, float, str]], *, title: str = "", most: float | None = None, colour: str = PALETTE[1]
) -> str:
    """Horizontal bars: (name, value >= 0, text beside it). most: the value of a full bar (by default the largest)."""
    rows = [row for row in rows if math.isfinite(row[1])]
    if not rows:
        return ""
    full = most or max(value for _, value, _ in rows) or 1.0
    lines_ = "".join(
        f'<div class="bar-row"><span>{escape(name)}</span><span class="track">'
        f'<span style="width:{100 * min(max(value / full, 0), 1):.1f}%;background:{colour}"></span></span>'
        f"<b>{escape(text)}</b></div>"
        for name, value, text in rows
    )
    head = f"<figcaption>{escape(title)}</figcaption>" if title else ""
    return f'<figure class="bars">{head}{lines_}</figure>\n'


def confusion(metrics: LabelMetrics, *, title: str) -> str:
    """The confusion matrix as an HTML table."""
    return matrix(*shown_labels(metrics), title=title)


def matrix(
    rows: Sequence[str], columns: Sequence[str], counts: np.ndarray, *, title: str, percent: bool = False
) -> str:
    """counts: (rows, columns), truth down, prediction across, shade by share of the row. percent: the shares of the row
    in the cells, not the counts."""
    head = "".join(f'<th class="turned" scope="col"><span>{escape(label)}</span></th>' for label in columns)
    lines_ = []
    for label, line in zip(rows, counts, strict=True):
        total = int(line.sum())
        cells = "".join(_cell(int(n), total, label, other, percent) for n, other in zip(line, columns, strict=True))
        last = "" if percent else f'<td class="sum">{total:,}</td>'
        lines_.append(f'<tr><th scope="row">{escape(label)}</th>{cells}{last}</tr>')
    unit = ", % of the truth" if percent else ""
    caption = f"<figcaption>{escape(title)} <span>truth down, prediction across{unit}</span></figcaption>"
    head += "" if percent else "<th></th>"
    body = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines_)}</tbody>"
    return f'<figure class="wide">{caption}<div class="scroll"><table class="confusion">{body}</table></div></figure>\n'


def _cell(count: int, total: int, truth: str, predicted: str, percent: bool) -> str:
    if not count:
        return "<td></td>"
    # The square root keeps a 5 % mistake visible beside a 90 % diagonal.
    weight = math.sqrt(count / total)
    red, green, blue = (0, 114, 178) if truth == predicted else (213, 94, 0)
    ink = ' class="light"' if weight > 0.62 else ""
    tip = f"{escape(truth)} taken for {escape(predicted)}: {count:,} of {total:,}"
    text = f"{100 * count / total:.1f}" if percent else f"{count:,}"
    return f'<td{ink} style="background:rgba({red},{green},{blue},{0.9 * weight:.2f})" title="{tip}">{text}</td>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> str:
    """A table of text; the first column on the left, the others right. Cells are escaped, but for ``Markup``."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    lines_ = "".join("<tr>" + "".join(f"<td>{_markup(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    caption = f"<figcaption>{escape(title)}</figcaption>" if title else ""
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{lines_}</tbody></table>"
    return f'<figure class="wide">{caption}<div class="scroll">{body}</div></figure>\n'


class Markup(str):
    """Text that is HTML already."""


def _markup(cell: str) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)


def meter(value: float, *, most: float = 1.0) -> Markup:
    """A figure with a small bar before it."""
    if not math.isfinite(value):
        return Markup("-")
    width = 100 * min(max(value / most, 0), 1)
    return Markup(f'<span class="meter"><span><span style="width:{width:.0f}%"></span></span>{value:.3f}</span>')
