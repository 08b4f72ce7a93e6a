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
from ..datasets.schema import Schema
from ..seg.error_breakdown import ERRORS
from ..seg.pairing import Pairing
from .compare import Comparison, Difference
from .evaluate_maps import MapEvaluation, map_tables
from .measure import Evaluation, labels
from .report_masks import COCO_ROWS, fashionpedia_rows

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

_WIDTH = 100


def print_tables(found: Evaluation, config: "EvaluateConfig") -> None:
    """Everything, most important first; notes last, where they are seen."""
    pairing, metrics = found.pairing, found.metrics
    console = _console()
    console.print(_headline(metrics, config))
    console.print(_coco_table(found))
    if found.ap_ends:
        console.print(_ap_table(found))
    console.print(_product_table(pairing, metrics, config))
    if found.fashionpedia is not None:
        console.print(_fashionpedia_table(found.fashionpedia.numbers))
    if found.errors:
        console.print(_error_table(found))
    if found.semantic is not None:
        for table in map_tables(found.semantic, found.semantic_ends, _table):
            console.print(table)
    for table in _attribute_tables(metrics, pairing.schema):
        console.print(table)
    for table in (_coverage_table(metrics), _others_table(found)):
        if table.row_count:
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
    for note in found.sentences:
        console.print(Text("note: ", style="yellow") + Text(note))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal and console.width <= _WIDTH else Console(highlight=False, width=_WIDTH)


def print_map_tables(found: MapEvaluation) -> None:
    """Of two folders of label maps."""
    console = _console()
    console.print(Text(f"{found.result.photos:,} label maps compared", style="bold"))
    for table in map_tables(found.result, found.intervals, _table):
        console.print(table)
    for note in found.notes:
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


def _coco_table(found: Evaluation) -> Table:
    results = {prefix: one.numbers for prefix, one in found.metrics.coco.items()}
    joint = {f"joint/{prefix}": one.numbers for prefix, one in found.joint.items()}
    keys = list(next(iter(results.values()), {}))
    table = _table("\nCOCO", *keys, gap=1)  # twelve figures in 100 columns
    for prefix, numbers in (results | joint).items():
        # -1: no truth of that size
        cells = (numbers.get(key, -1.0) for key in keys)
        table.add_row(COCO_ROWS[prefix], *("-" if value < 0 else f"{value:.3f}" for value in cells))
    return table


def _ap_table(found: Evaluation) -> Table:
    """AP with its interval; the columns are those of the first row that has AP at single IoUs."""
    flat = found.flat()
    prefixes = list(dict.fromkeys(key.rpartition("/")[0] for key in found.ap_ends))
    keys = [k for k in ("AP", "AP50", "AP75") if any(f"{prefix}/{k}" in flat for prefix in prefixes)]
    table = _table("\nAP with 95 % intervals", *keys)
    for prefix in prefixes:
        cells = []
        for key in keys:
            value, (low, high) = flat.get(f"{prefix}/{key}"), found.ap_ends.get(f"{prefix}/{key}", (math.nan, math.nan))
            ends = f" [dim]\\[{low:.3f} {high:.3f}][/]" if math.isfinite(low) else ""
            cells.append("-" if value is None or value < 0 else f"{value:.3f}{ends}")
        table.add_row(COCO_ROWS[prefix], *cells)
    return table


def _product_table(pairing: Pairing, metrics: JointMetrics, config: "EvaluateConfig") -> Table:
    kind = "mask" if pairing.masked else "box"
    names = {"iou": f"{kind} IoU, mean", "iou_below_80": "IoU below 0.8", "found": f"found at IoU {config.iou_thr:g}"}
    if pairing.masked:
        names["boundary_f"] = f"boundary F, {config.boundary_px} px"
    table = _table("\nProducts: the best detection of each", *names.values())
    table.add_row("", *(_with_interval(metrics, f"product/{name}") for name in names))
    return table


def _fashionpedia_table(numbers: dict[str, float]) -> Table:
    rows = next(iter(fashionpedia_rows(numbers).values()))
    columns = [key for key in next(iter(rows.values())) if not key.startswith(("AR", "AP_IOU50_", "AP_IOU75_"))]
    table = _table("\nFashionpedia's published evaluator", *columns, gap=1)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.3f}" if row.get(key, -1) >= 0 else "-" for key in columns))
    return table


def _error_table(found: Evaluation) -> Table:
    """What mending one kind of mistake would bring."""
    first = next(iter(found.errors.values()))
    table = _table(f"\nErrors: what AP{100 * first.iou_thr:g} would gain without them", *ERRORS, gap=1)
    for prefix, one in found.errors.items():
        cells = (f"{one.delta_ap[cause]:+.3f} ({one.counts[cause]:,})" for cause in ERRORS)
        table.add_row(COCO_ROWS[prefix].replace("by category", "by cat."), *cells)
    return table


def _attribute_tables(metrics: JointMetrics, schema: Schema) -> Iterator[Table]:
    """Category and labels in one table, numbers in another: side by side they would not fit."""
    named = {"category": ("category", metrics.category)} if metrics.category is not None else {}
    named |= {f"attributes/{name}": (schema[name].title, one) for name, one in metrics.attributes.items()}
    for kind, title, figures in (
        (
            LabelMetrics,
            "Read from matched products",
            {"accuracy": "accuracy", "macro_f1": "macro-F1", "jaccard": "set overlap"},
        ),
        (NumberMetrics, "Measured on matched products", {"mae": "mean abs. error", "rmse": "RMSE", "r2": "R2"}),
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


def _coverage_table(metrics: JointMetrics) -> Table:
    """What the probabilities are worth: how much can be filled in without a person."""
    read = {key: one for key, one in labels(metrics).items() if one.probability is not None and one.support}
    target = next((one.probability.coverage.target for one in read.values()), 0.95)
    share = f"filled in at {target:.0%} precision"
    table = _table("\nProbabilities on matched products", share, "from", "top 2", "top 3", "macro-AP", "ECE")
    for key, one in read.items():
        p = one.probability
        cells = (_figure(p.coverage.threshold), *(_figure(p.top_k.get(k, math.nan)) for k in (2, 3)))
        filled = _with_interval(metrics, f"{key}/coverage{100 * target:g}")
        table.add_row(escape(key.removeprefix("attributes/")), filled, *cells, _figure(p.macro_ap), _figure(p.ece))
    return table


def _others_table(found: Evaluation) -> Table:
    """Accuracy by whose masks the attributes were read under, and of a second annotator."""
    names = {"true_masks": "under true masks", "second": "second annotator"}
    table = _table("\nAccuracy", "on matched products", *(names[one] for one in found.others))
    own = labels(found.metrics)
    for key in own if found.others else ():
        others = (
            _with_interval(one, f"{key}/accuracy") if key in labels(one) else "-" for one in found.others.values()
        )
        table.add_row(
            escape(key.removeprefix("attributes/")), _with_interval(found.metrics, f"{key}/accuracy"), *others
        )
    return table


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
        table.add_row(escape(row.key), *figures, _ends(row), f"[{style[row.verdict]}]{row.verdict}[/]")
    return table


def _ends(row: Difference) -> str:
    return f"{row.low:+.3f} {row.high:+.3f}" if math.isfinite(row.low) else "-"


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
