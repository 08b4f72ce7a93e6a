"""COCO numbers, curves, categories, errors and slices in the evaluation report."""

import math
from collections.abc import Iterator, Sequence

from ..seg.coco_eval import CocoResult
from ..seg.error_breakdown import ErrorBreakdown
from ..seg.slices import SliceRow
from .report_attributes import figure
from .report_charts import Markup, Series, bars, lines, meter, table

COCO_ROWS = {
    "segm": "masks, by category",
    "segm-agnostic": "masks, one class",
    "bbox": "boxes, by category",
    "bbox-agnostic": "boxes, one class",
    "boundary": "boundaries, by category",
    "boundary-agnostic": "boundaries, one class",
    "joint/segm": "masks and attributes",
    "joint/segm-agnostic": "masks and attributes",
    "joint/bbox": "boxes and attributes",
    "joint/bbox-agnostic": "boxes and attributes",
}
CAUSES = {
    "classification": "right place, wrong category",
    "localisation": "right category, badly placed",
    "both": "badly placed and wrong category",
    "duplicate": "found twice",
    "background": "nothing there",
    "missed": "not found",
    "false_positive": "all false positives",
    "false_negative": "all that is not found",
}


def coco_table(numbers: dict[str, dict[str, float]], keys: Sequence[str]) -> str:
    """numbers: prefix of a key -> its numbers; a dash where there is no truth."""
    rows = [
        [COCO_ROWS.get(prefix, prefix), *(precision(one[key]) if key in one else "" for key in keys)]
        for prefix, one in numbers.items()
    ]
    return table(["", *keys], rows, title="COCO")


def precision(value: float) -> str:
    """AP and AR: -1 where there is no truth to measure on."""
    return "-" if value < 0 else f"{value:.3f}"


def joint_table(numbers: dict[str, float], keys: Sequence[str]) -> str:
    """One row of the joint numbers."""
    return table(
        ["AP", *keys], [[Markup(f"<b>{precision(numbers['AP'])}</b>"), *(precision(numbers[k]) for k in keys)]]
    )


FASHIONPEDIA_PARTS = {"iou_f1": "IoU + F1", "iou": "IoU", "f1": "F1"}


def fashionpedia_rows(numbers: dict[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    """``fashionpedia/iou_f1/AP`` ... as title -> row -> column -> number: all categories first, then supercategories."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for key, value in numbers.items():
        *group, part, row = key.split("/")[1:]
        title = group[0].removeprefix("supercls-").capitalize() if group else "All categories"
        found.setdefault(title, {}).setdefault(FASHIONPEDIA_PARTS.get(part, part), {})[row] = value
    return found


def curves(results: dict[str, CocoResult]) -> Iterator[str]:
    """Precision over recall at a few IoUs, a chart per kind of result."""
    charts = []
    for prefix, one in results.items():
        thresholds = one.params.iou_thrs
        chosen = [t for t in thresholds if round(t, 4) in (0.5, 0.75, 0.9)] or [*thresholds[:1], *thresholds[-1:]]
        series = [Series(f"IoU {t:.2f}", *one.curve(t)) for t in dict.fromkeys(chosen)]
        series = [line for line in series if any(math.isfinite(y) for y in line.y)]
        charts.append(lines(series, x="recall", y="precision", title=COCO_ROWS[prefix].capitalize()))
    if any(charts):
        yield f'<div class="grid-2">\n{"".join(charts)}</div>\n'


def categories(result: CocoResult, names: Sequence[str], counts: Sequence[int]) -> str:
    """AP of every category that has truth, most products first."""
    rows = []
    for k in sorted(range(len(names)), key=lambda k: -counts[k]):
        one = result.per_category[k]
        if one["AP"] >= 0:
            others = [precision(one[key]) if key in one else "" for key in ("AP50", "AP75", "AR")]
            rows.append([names[k], f"{counts[k]:,}", meter(one["AP"]), *others])
    return table(["category", "products", "AP", "AP50", "AP75", "AR"], rows, title="By category") if rows else ""


def errors(found: dict[str, ErrorBreakdown]) -> Iterator[str]:
    """What each cause of error costs: bars of dAP and how often it happens."""
    first = next(iter(found.values()))
    yield (
        f"<p>What AP at IoU {first.iou_thr:g} would gain if one kind of mistake alone were mended (after TIDE, Bolya et al. "
        "2020). The gains do not add up: mistakes hide each other.</p>\n"
    )
    charts = []
    for prefix, one in found.items():
        title = f"{COCO_ROWS.get(prefix, prefix).capitalize()}: AP{100 * one.iou_thr:g} {precision(one.ap)}"
        # By category all causes; in one class nothing can be of the wrong one.
        causes = [cause for cause in one.delta_ap if one.counts[cause] or not prefix.endswith("-agnostic")]
        rows = [
            (CAUSES.get(c, c), max(one.delta_ap[c], 0.0), f"{one.delta_ap[c]:+.3f} · {one.counts[c]:,}") for c in causes
        ]
        charts.append(bars(rows, title=title, most=max([row[1] for row in rows] + [0.1])))
    yield f'<div class="grid-2">\n{"".join(charts)}</div>\n<p class="foot">Beside the bars: gain in AP, and how many.</p>\n'


def slices(rows: Sequence[SliceRow]) -> Iterator[str]:
    """A table per key."""
    for key in dict.fromkeys(row.key for row in rows):
        own = [row for row in rows if row.key == key and row.numbers["products"]]
        present = dict.fromkeys(one for row in own for one in row.numbers)
        shown = [one for one in present if _column(one) is not None]
        shown.sort(key=lambda one: ("/" in one, not one.endswith("/AP"), one != "product/iou"))
        cells = [[row.name, *(_cell(row, one) for one in shown)] for row in own]
        yield table([key, *map(_column, shown)], cells, title=f"By {key}")


def _column(key: str) -> str | None:
    """What a figure is called on top of its column; None for those that stand in metrics.json only."""
    names = {
        "photos": "photos",
        "products": "products",
        "matched": "found",
        "extra": "extra",
        "product/iou": "mean IoU",
    }
    if key in names or key.endswith("/AP"):
        return names.get(key, "AP")
    for end, label in (("/accuracy", " right"), ("/mae", ", mean error")):
        if key.endswith(end):
            return key.removeprefix("attributes/").removesuffix(end) + label
    return None


def _cell(row: SliceRow, key: str) -> str:
    value = row.numbers.get(key)
    if value is None or not math.isfinite(value) or (value == -1 and "/AP" in key):
        return "-"
    if "/" not in key:
        return f"{int(value):,}"
    if key not in row.intervals:
        return figure(value)
    low, high = row.intervals[key]
    return Markup(f"{figure(value)}<small class='under'>{figure(low)} to {figure(high)}</small>")
