"""The figures of `segattr evaluate` as tables for a terminal of 100 columns."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..attributes.evaluation import LabelMetrics, NumberMetrics
from ..attributes.joint import JointMetrics
from ..seg.coco_eval import COCO_KEYS
from ..seg.pairing import Pairing
from .compare import Comparison
from .measure import Evaluation

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

_WIDTH = 100
_ROWS = {
    "segm": "masks, by category",
    "segm-agnostic": "masks, one class",
    "bbox": "boxes, by category",
    "bbox-agnostic": "boxes, one class",
}


def print_tables(found: Evaluation, config: "EvaluateConfig") -> None:
    """Everything, most important first; notes last, where they are seen."""
    pairing, metrics = found.pairing, found.metrics
    console = Console(highlight=False)
    if console.width > _WIDTH or not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(_headline(metrics, config))
    console.print(_coco_table(metrics))
    console.print(_product_table(pairing, metrics, config))
    for table in _attribute_tables(metrics):
        console.print(table)
    details = list(_value_tables(metrics))
    if details:
        console.print(Columns(details, padding=(1, 2)))
    if found.comparison is not None:
        console.print(_comparison_table(found.comparison))
    if metrics.intervals:
        unit = config.group_by or "photo"
        console.print(
            f"\n[dim]In brackets: 95 % bootstrap intervals, {config.resamples:,} draws of {metrics.groups:,} groups "
            f"(by {escape(unit)}).[/]"
        )
    for note in found.notes + (found.comparison.notes if found.comparison else []):
        console.print(Text("note: ", style="yellow") + Text(note))


def _headline(metrics: JointMetrics, config: "EvaluateConfig") -> Text:
    n = {key: int(value) for key, value in metrics.numbers.items() if key.startswith(("images/", "instances/"))}
    text = Text()
    text.append(f"{n['images/compared']:,} of {n['images/truth']:,} photos compared", style="bold")
    if n["images/missing"]:
        text.append(f"; {n['images/missing']:,} without predictions, all their products missed", style="yellow")
    text.append(f"\n{n['instances/truth']:,} products, {n['instances/detected']:,} detections: ")
    text.append(f"{n['instances/matched']:,} matched", style="bold")
    text.append(f" at IoU {config.iou_thr:g}, {n['instances/missed']:,} missed, {n['instances/extra']:,} extra")
    return text


def _table(title: str, *columns: str, gap: int = 2) -> Table:
    padding = (0, gap, 0, 0)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=padding)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _coco_table(metrics: JointMetrics) -> Table:
    table = _table("\nCOCO", *COCO_KEYS, gap=1)  # twelve figures in 100 columns
    for prefix, label in _ROWS.items():
        if f"{prefix}/AP" in metrics.numbers:
            values = [metrics.numbers[f"{prefix}/{key}"] for key in COCO_KEYS]
            # -1: no truth of that size
            table.add_row(label, *("-" if value < 0 else f"{value:.3f}" for value in values))
    return table


def _product_table(pairing: Pairing, metrics: JointMetrics, config: "EvaluateConfig") -> Table:
    kind = "mask" if pairing.masked else "box"
    names = {"iou": f"{kind} IoU, mean", "iou_below_80": "IoU below 0.8", "found": f"found at IoU {config.iou_thr:g}"}
    if pairing.masked:
        names["boundary_f"] = f"boundary F, {config.boundary_px} px"
    table = _table("\nProducts: the best detection of each", *names.values())
    table.add_row("", *(_with_interval(metrics, f"product/{name}") for name in names))
    return table


def _attribute_tables(metrics: JointMetrics) -> Iterator[Table]:
    """Category and labels in one table, numbers in another: side by side they would not fit."""
    named = {"category": ("category", metrics.category)} if metrics.category is not None else {}
    named |= {f"attributes/{name}": (name, one) for name, one in metrics.attributes.items()}
    for kind, title, figures in (
        (
            LabelMetrics,
            "Read from matched products",
            {"accuracy": "accuracy", "macro_f1": "macro-F1", "jaccard": "set overlap"},
        ),
        (NumberMetrics, "Measured on matched products", {"mae": "mean abs. error", "rmse": "RMSE"}),
    ):
        rows = {prefix: (name, one) for prefix, (name, one) in named.items() if isinstance(one, kind)}
        present = {key: label for key, label in figures.items() if any(f"{p}/{key}" in metrics.numbers for p in rows)}
        if not rows:
            continue
        table = _table(f"\n{title}", "n", *present.values())
        for prefix, (name, one) in rows.items():
            first = " (first value)" if f"{prefix}/jaccard" in metrics.numbers else ""
            keys = [f"{prefix}/{key}" for key in present]
            cells = (_with_interval(metrics, key) if key in metrics.numbers else "" for key in keys)
            table.add_row(escape(name + first), f"{one.support:,}", *cells)
        yield table


def _with_interval(metrics: JointMetrics, key: str) -> str:
    value = _figure(metrics.numbers[key])
    if key not in metrics.intervals:
        return value
    low, high = metrics.intervals[key]
    return f"{value} [dim]\\[{_figure(low)} {_figure(high)}][/]"


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _value_tables(metrics: JointMetrics) -> Iterator[Table]:
    """One table per attribute, values by how often they occur, each with what it is most often mistaken for."""
    labelled = {"category": metrics.category} if metrics.category is not None else {}
    for name, one in (labelled | metrics.attributes).items():
        if not isinstance(one, LabelMetrics) or not one.support:
            continue
        table = _table(escape(name), "n", "prec", "rec", "F1")
        table.add_column("taken for", no_wrap=True)
        for value in sorted(one.per_value, key=lambda v: -one.per_value[v].support):
            row = one.per_value[value]
            if row.support or row.predicted:
                figures = (_short(row.precision), _short(row.recall), _short(row.f1))
                table.add_row(escape(value), str(row.support), *figures, escape(_taken_for(one, value)))
        yield table


def _comparison_table(comparison: Comparison) -> Table:
    table = _table("\nB against A: paired differences, 95 %", "A", "B", "B - A", "interval")
    table.add_column("", no_wrap=True)
    style = {"better": "green", "worse": "red", "unclear": "dim", "equal": "dim"}
    for row in comparison.rows:
        if row.key.endswith(("macro_precision", "macro_recall")):
            continue  # the report has them
        figures = (_figure(row.a), _figure(row.b), f"{row.difference:+.3f}")
        table.add_row(
            escape(row.key), *figures, f"{row.low:+.3f} {row.high:+.3f}", f"[{style[row.verdict]}]{row.verdict}[/]"
        )
    return table


def _short(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _taken_for(metrics: LabelMetrics, value: str) -> str:
    i = metrics.values.index(value)
    wrong = metrics.confusion[i].copy()
    wrong[i] = 0
    j = int(np.argmax(wrong))
    if not wrong[j]:
        return ""
    return f"{[*metrics.values, 'none'][j]} {int(wrong[j])}"
