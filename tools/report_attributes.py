"""Category and attributes in the evaluation report: tables, confusion, calibration, coverage."""

import math
from collections.abc import Iterator
from html import escape

from ..attributes.evaluation import LabelMetrics, NumberMetrics
from ..attributes.joint import JointMetrics
from ..datasets.schema import Schema
from .report_charts import Series, confusion, lines, meter, reliability_plot, table

WIDE_MATRIX = 13  # of more values a confusion matrix is as wide as the page


OTHERS = {"true_masks": "under true masks", "second": "second annotator"}


def attribute_sections(metrics: JointMetrics, others: dict[str, JointMetrics], schema: Schema) -> Iterator[str]:
    """A summary, then every attribute by itself. others: read under true masks, and a second annotator's. schema: of the
    truth."""
    named = {"category": metrics.category} if metrics.category is not None else {}
    named |= metrics.attributes
    labels = {name: one for name, one in named.items() if isinstance(one, LabelMetrics) and one.support}
    numbers = {name: one for name, one in named.items() if isinstance(one, NumberMetrics) and one.support}
    if not labels and not numbers:
        return
    yield "<p>Read from products that a detection matches. Unknown labels never count, a missing answer counts as wrong.</p>\n"
    if labels:
        yield _summary(labels) + _probabilities(labels)
    if others and labels:
        yield _others(labels, others)
    if numbers:
        yield _numbers({schema[name].title: one for name, one in numbers.items()})
    for name, one in labels.items():
        yield f"<h3>{escape(name)} <span>{one.support:,} products</span></h3>\n"
        yield from _label_charts(name, one)


def _summary(labels: dict[str, LabelMetrics]) -> str:
    columns = ["", "products", "accuracy", "macro-F1", "macro-precision", "macro-recall"]
    sets = any(one.jaccard is not None for one in labels.values())
    columns += ["set overlap", "whole set right"] * sets
    rows = []
    for name, one in labels.items():
        first = " (first value)" if one.jaccard is not None else ""
        row = [name + first, f"{one.support:,}", meter(one.accuracy), meter(one.macro_f1)]
        row += [figure(one.macro_precision), figure(one.macro_recall)]
        rows.append(row + [figure(one.jaccard), figure(one.exact)] * sets)
    return table(columns, rows)


def _probabilities(labels: dict[str, LabelMetrics]) -> str:
    read = {name: one.probability for name, one in labels.items() if one.probability is not None}
    if not read:
        return ""
    target = next(iter(read.values())).coverage.target
    columns = ["", f"filled in at {target:.0%} precision", "from confidence", "macro-AP", "top 2", "top 3"]
    rows = []
    for name, p in read.items():
        threshold = figure(p.coverage.threshold) if p.coverage.share else "-"
        top = [figure(p.top_k.get(k, math.nan)) for k in (2, 3)]
        set_ = " (whole set)" if p.coverage_first else ""
        gaps = [figure(p.ece), figure(p.ece_adaptive)]
        rows.append([name + set_, meter(p.coverage.share), threshold, figure(p.macro_ap), *top, *gaps])
    return table([*columns, "ECE", "ECE, equal counts"], rows, title="What the probabilities are worth")


def _others(labels: dict[str, LabelMetrics], others: dict[str, JointMetrics]) -> str:
    columns, rows = ["", "on matched products"], []
    for name in others:
        columns += [OTHERS[name], "macro-F1", *(["kappa"] if name == "second" else [])]
    for name, one in labels.items():
        row = [name, meter(one.accuracy)]
        for who, other in others.items():
            found = other.category if name == "category" else other.attributes.get(name)
            known = isinstance(found, LabelMetrics) and found.support
            row += [meter(found.accuracy), figure(found.macro_f1)] if known else ["-", "-"]
            row += [figure(found.kappa) if known else "-"] if who == "second" else []
        rows.append(row)
    return table(columns, rows, title="Accuracy by whose masks, and how far two annotators agree")


def _numbers(numbers: dict[str, NumberMetrics]) -> str:
    rows = [
        [name, f"{one.support:,}", f"{one.answered:,}", figure(one.mae), figure(one.rmse), figure(one.r2)]
        for name, one in numbers.items()
    ]
    return table(["", "known", "answered", "mean absolute error", "RMSE", "R2"], rows)


def _label_charts(name: str, one: LabelMetrics) -> Iterator[str]:
    matrix = confusion(one, title="Confusion" + (" of first values" if one.jaccard is not None else ""))
    wide = len(one.values) > WIDE_MATRIX
    yield f'{matrix}<div class="grid-2">\n' if wide else f'<div class="grid-2">\n{matrix}'
    yield f"{_values(one)}</div>\n"
    if one.probability is None:
        return
    p = one.probability
    yield '<div class="grid-2">\n'
    curves = [Series("whole set" if p.curve_first else "", p.curve.coverage, p.curve.precision)]
    if p.curve_first:
        curves.append(Series("first value alone", p.curve_first.coverage, p.curve_first.precision, dashed=True))
    chosen = p.coverage
    if chosen.share:
        title = (
            f"{chosen.share:.0%} filled in at {chosen.target:.0%} precision, from confidence {chosen.threshold:.2f} on"
        )
    else:
        title = f"No confidence reaches {chosen.target:.0%} precision"
    yield lines(
        curves,
        x="share of products filled in, surest first",
        y="share of those right",
        title=title,
        level=chosen.target,
    )
    what = "whether a value is present" if one.jaccard is not None else "the answer"
    note = f"ECE {p.ece:.3f}, of bins of equal count {p.ece_adaptive:.3f}; confidence in {what}. Faint bars hold few."
    yield reliability_plot(p.reliability, title="Reliability", note=note)
    yield "</div>\n"


def _values(one: LabelMetrics) -> str:
    p = one.probability
    columns = ["value", "n", "precision", "recall", "F1", *(["AP", "filled in"] if p else [])]
    rows = []
    for value in sorted(one.per_value, key=lambda v: -one.per_value[v].support):
        row = one.per_value[value]
        if row.support or row.predicted:
            cells = [value, f"{row.support:,}", figure(row.precision, 2), figure(row.recall, 2), meter(row.f1)]
            if p:
                own = p.per_value[value]
                share = f"{own.recall:.0%}" if math.isfinite(own.recall) else "-"
                cells += [figure(own.ap, 2), share]
            rows.append(cells)
    return table(columns, rows, title="By value")


def figure(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where it is undefined."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.1f}"
