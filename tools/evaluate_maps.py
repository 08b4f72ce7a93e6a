"""`segattr evaluate GT PRED --semantic` over two folders of label maps, and the label maps' part of the report."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ..datasets.errors import InputError
from ..datasets.files import write_atomic
from ..seg.bootstrap import interval_keys
from ..seg.label_maps import semantic_from_folders
from ..seg.semantic_eval import SemanticResult, semantic_intervals
from .measure import defined
from .report_attributes import figure
from .report_charts import Markup, matrix, meter, table

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

MEANS = {
    "miou": "mean IoU",
    "foreground_iou": "all classes as one: IoU",
    "pixel_accuracy": "pixels right",
    "mean_accuracy": "mean accuracy",
    "weighted_iou": "IoU by area",
    "boundary_f": "boundary F",
}


@dataclass
class MapEvaluation:
    """Of two folders. intervals: 95 % over photos, by the keys of ``result.flat()``."""

    result: SemanticResult
    intervals: dict[str, tuple[float, float]]
    notes: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """All notes."""
        return self.notes

    def flat(self) -> dict[str, float | None]:
        """Every figure, None where undefined."""
        return defined(self.result.flat() | interval_keys(self.intervals))


def measure_maps(config: "EvaluateConfig") -> MapEvaluation:
    """Raises InputError for whatever the user can mend."""
    if config.compare is not None or config.group_by is not None:
        raise InputError("--compare and --group-by need COCO files; folders of label maps are judged one by one.")
    if not config.pred.is_dir():
        raise InputError(f"{config.pred}: expected a folder of label maps (PNG files), as {config.gt} is one.")
    result = semantic_from_folders(
        config.gt,
        config.pred,
        classes=config.labels or None,
        ignore_index=config.ignore_label,
        boundary_px=config.boundary_px,
    )
    intervals = semantic_intervals(result, resamples=config.resamples, seed=config.seed)
    return MapEvaluation(result, intervals, list(result.notes))


def write_maps(found: MapEvaluation, config: "EvaluateConfig") -> list[Path]:
    """metrics.json and report.html in ``config.out``."""
    from .evaluate_report import notes_html, tile, write_page

    out = config.out
    write_atomic(out / "metrics.json", json.dumps(found.flat(), indent=1) + "\n")
    tiles = [tile("photos", f"{found.result.photos:,}", "")]
    flat = found.result.flat()
    tiles += [
        tile(label, figure(flat[f"semantic/{key}"]), _ends(found.intervals, key))
        for key, label in MEANS.items()
        if math.isfinite(flat[f"semantic/{key}"])
    ]
    sections = [("maps", "Label maps", "".join(map_section(found.result, found.intervals)))]
    sections.append(("notes", "Notes", notes_html(found.notes)))
    write_page(out / "report.html", str(config.pred), str(config.gt), tiles, sections)
    return [out / "metrics.json", out / "report.html"]


def map_section(result: SemanticResult, intervals: dict[str, tuple[float, float]]) -> Iterator[str]:
    """Means, classes and confusion of pixels, as HTML."""
    flat = result.flat()
    means = {key: label for key, label in MEANS.items() if math.isfinite(flat[f"semantic/{key}"])}
    cells = [Markup(f"{figure(flat[f'semantic/{key}'])}<small>{_ends(intervals, key)}</small>") for key in means]
    yield table(list(means.values()), [cells], title=f"Pixels of {result.photos:,} photos")
    used = [k for k in range(len(result.classes)) if result.confusion[k].any() or result.confusion[:, k].any()]
    pixels = result.confusion.sum(axis=1)
    rows = [
        [
            result.classes[k],
            f"{pixels[k] / max(pixels.sum(), 1):.1%}",
            meter(float(result.iou[k])),
            figure(float(result.accuracy[k])),
            figure(float(result.boundary_f[k])),
        ]
        for k in sorted(used, key=lambda k: -pixels[k])
    ]
    yield table(["class", "of the truth", "IoU", "pixels right", "boundary F"], rows, title="By class")
    others = result.confusion[:, -1:].any()
    columns = [*used, *([len(result.classes)] if others else [])]
    names = [*(result.classes[k] for k in used), *(["none of these"] if others else [])]
    counts = result.confusion[used][:, columns]
    yield matrix([result.classes[k] for k in used], names, counts, title="Confusion of pixels", percent=True)


def _ends(intervals: dict[str, tuple[float, float]], key: str) -> str:
    if f"semantic/{key}" not in intervals:
        return ""
    low, high = intervals[f"semantic/{key}"]
    return f"{figure(low)} to {figure(high)}"


def map_tables(result: SemanticResult, intervals: dict[str, tuple[float, float]], blank) -> Iterator[Table]:
    """The means and the classes for a terminal. blank: makes a table of a title and columns."""
    flat = result.flat()
    means = blank("\nLabel maps", "", "95 %")
    for key, label in MEANS.items():
        if math.isfinite(flat[f"semantic/{key}"]):
            means.add_row(label, figure(flat[f"semantic/{key}"]), _ends(intervals, key))
    yield means
    classes = blank("\nLabel maps by class", "IoU", "pixels right", "boundary F")
    for k, name in enumerate(result.classes):
        if result.confusion[k].any() or result.confusion[:, k].any():
            row = (float(column[k]) for column in (result.iou, result.accuracy, result.boundary_f))
            classes.add_row(escape(name), *map(figure, row))
    yield classes
