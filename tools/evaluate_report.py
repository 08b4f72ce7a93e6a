"""report.html of `segattr evaluate`: one file that opens offline, without a script.

Whatever comes from a file name, a category or a schema goes through `escape`; the page's own policy lets nothing in
from outside and no script run.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..attributes.joint import JointMetrics
from ..datasets.errors import InputError
from ..datasets.files import write_atomic
from . import report_masks
from .evaluate_maps import map_section
from .measure import Evaluation
from .report_attributes import attribute_sections
from .report_charts import Markup, table
from .report_mistakes import mistakes_html, photo_thumbnails, worst_mistakes

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

STATIC = Path(__file__).parent / "static"


def write_report(found: Evaluation, config: "EvaluateConfig", path: Path) -> None:
    """Write the page. Photos that are not there leave outlines without a picture (the caller has said so)."""
    judged = str(config.pred if config.compare is None else config.compare[1])
    sections = [(name, title, "".join(make(found, config))) for name, title, make in SECTIONS]
    write_page(path, judged, str(config.gt), _tiles(found), sections)


def write_page(
    path: Path, title: str, truth: str, tiles: Iterable[str], sections: Sequence[tuple[str, str, str]]
) -> None:
    """sections: (anchor, title, HTML); empty ones are left out. title, truth: text."""
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    head = Template((STATIC / "evaluate.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        truth=escape(truth),
        version=escape(__version__),
        css=(STATIC / "evaluate.css").read_text(encoding="utf-8"),
        tiles="".join(tiles),
        nav=f"<div>{links}</div>",
    )
    body = "".join(f'<section id="{name}">\n<h2>{heading}</h2>\n{html}</section>\n' for name, heading, html in sections)
    write_atomic(path, (head + body + "</main>\n</body>\n</html>\n").encode("utf-8", errors="backslashreplace"))


def _tiles(found: Evaluation) -> Iterator[str]:
    numbers, flat = found.metrics.numbers, found.flat()
    counts = f"{int(numbers['images/compared']):,} of {int(numbers['images/truth']):,} photos"
    yield tile("products in the truth", f"{int(numbers['instances/truth']):,}", counts)
    for key, label in (
        ("segm/AP", "mask AP"),
        ("segm-agnostic/AP", "mask AP, one class"),
        ("bbox/AP", "box AP"),
        ("joint/segm/AP", "joint AP, masks and attributes"),
        ("product/iou", "mean IoU"),
        ("category/accuracy", "category right"),
        *((f"attributes/{name}/accuracy", f"{name} right") for name in found.metrics.attributes),
        *((f"attributes/{name}/mae", f"{name}: mean error") for name in found.metrics.attributes),
    ):
        value = flat.get(key)
        if value is not None and math.isfinite(value) and not (key == "bbox/AP" and "segm/AP" in numbers):
            ends = found.metrics.intervals | found.ap_ends
            yield tile(label, "-" if value == -1 else f"{value:.3f}", interval(ends, key))


def tile(label: str, value: str, small: str) -> str:
    """One figure at the head of the page; ``small`` stands under it."""
    return f"<div><dt>{escape(label)}</dt><dd>{value}<small>{escape(small) or '&nbsp;'}</small></dd></div>"


def interval(intervals: Mapping[str, tuple[float, float]], key: str) -> str:
    """ "0.61 to 0.68", or "" where there is no interval."""
    low, high = intervals.get(key, (math.nan, math.nan))
    return f"{low:.3f} to {high:.3f}" if math.isfinite(low) else ""


def _with_interval(metrics: JointMetrics, key: str) -> Markup:
    value = metrics.numbers[key]
    small = interval(metrics.intervals, key)
    return (
        Markup(f"{value:.3f}" + (f"<small>{small}</small>" if small else "")) if math.isfinite(value) else Markup("-")
    )


def _masks(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    metrics = found.metrics
    yield "<p>AP: mean over IoU .50 to .95 and over categories, 100 detections a photo. A dash: no truth of that size.</p>\n"
    coco = {prefix: one.numbers for prefix, one in metrics.coco.items()}
    keys = list(next(iter(coco.values()), {}))
    joint = {f"joint/{prefix}": one.numbers for prefix, one in found.joint.items()}
    yield report_masks.coco_table(coco | joint, keys)
    kind, noun = ("segm", "mask") if found.pairing.masked else ("bbox", "box")
    names = {"iou": f"{noun} IoU, mean", "iou_below_80": "IoU below 0.8", "found": f"found at IoU {config.iou_thr:g}"}
    if found.pairing.masked:
        names["boundary_f"] = f"boundary F, {config.boundary_px} px"
    cells = [_with_interval(metrics, f"product/{name}") for name in names]
    yield table(list(names.values()), [cells], title="Products: the best detection of each")
    primary = [kind, f"{kind}-agnostic", "boundary", "boundary-agnostic"]
    yield from report_masks.curves({prefix: metrics.coco[prefix] for prefix in primary if prefix in metrics.coco})
    result = metrics.coco.get(kind)
    if result is not None:
        own = found.pairing.truth.category[~found.pairing.truth.crowd]
        counts = np.bincount(own, minlength=len(found.pairing.categories)).tolist()
        yield report_masks.categories(result, found.pairing.categories, counts)


def _joint(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    for one in found.joint.values():
        yield (
            "<p>AP where a detection counts only if its mask fits <em>and</em> its attributes do: F1 of the values that are "
            "present at least as high as a threshold, from .50 to .95. Attributes that are unknown ask for nothing.</p>\n"
        )
        keys = [key for key in one.numbers if key.startswith("AP") and len(key) > 2]
        yield report_masks.joint_table(one.numbers, keys)


def _fashionpedia(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    if found.fashionpedia is None:
        return
    yield "<p>The numbers of Fashionpedia's published evaluator, for comparing with published figures.</p>\n"
    for title, rows in report_masks.fashionpedia_rows(found.fashionpedia.numbers).items():
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        cells = [
            [name, *(report_masks.precision(row[key]) if key in row else "" for key in columns)]
            for name, row in rows.items()
        ]
        yield table(["", *columns], cells, title=title)


def _errors(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    if found.errors:
        yield from report_masks.errors(found.errors)


def _maps(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    if found.semantic is not None:
        yield from map_section(found.semantic, found.semantic_ends)


def _slices(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    yield from report_masks.slices(found.slices)


def _comparison(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    if found.comparison is None:
        return
    one = found.comparison
    yield (
        f"<p>A is {escape(one.names[0])}, B is {escape(one.names[1])}. Both are judged on the same photos; the intervals "
        f"(95 %, {config.resamples:,} draws of {one.groups:,} groups) are of the difference B - A. A row is unclear where "
        "its interval holds 0.</p>\n"
    )
    rows = [
        [
            row.key,
            f"{row.a:.3f}",
            f"{row.b:.3f}",
            f"{row.difference:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}" if math.isfinite(row.low) else "-",
            Markup(f'<span class="{row.verdict}">{row.verdict}</span>'),
        ]
        for row in one.rows
    ]
    yield table(["figure", "A", "B", "B - A", "95 % interval", ""], rows)


def _attributes(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    yield from attribute_sections(found.metrics, found.others, found.pairing.schema)


def _mistakes(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    groups = worst_mistakes(found.pairing, found.metrics, count=config.mistakes)
    if not groups:
        return
    try:
        thumbnails = photo_thumbnails(found.pairing, groups, config.images or config.gt.parent)
    except InputError:
        thumbnails = {}
    yield '<p class="legend"><span><i class="t"></i>truth</span><span><i class="d"></i>prediction</span></p>\n'
    yield from mistakes_html(found.pairing, groups, thumbnails)


def _notes(found: Evaluation, config: "EvaluateConfig") -> Iterator[str]:
    unit = escape(config.group_by or "photo")
    notes = found.sentences
    if found.metrics.intervals:
        notes = [
            *notes,
            f"Intervals: 95 %, percentile bootstrap, {config.resamples:,} draws of {found.metrics.groups:,} groups (by {unit}).",
        ]
    yield notes_html(notes)


def notes_html(notes: Sequence[str]) -> str:
    """A list; nothing without any."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>\n' if items else ""


Section = Callable[[Evaluation, "EvaluateConfig"], Iterator[str]]
SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("compare", "B against A", _comparison),
    ("masks", "Masks and boxes", _masks),
    ("joint", "Masks and attributes together", _joint),
    ("fashionpedia", "Fashionpedia", _fashionpedia),
    ("errors", "Errors", _errors),
    ("maps", "Label maps", _maps),
    ("attributes", "Category and attributes", _attributes),
    ("slices", "Slices", _slices),
    ("mistakes", "Worst mistakes", _mistakes),
    ("notes", "Notes", _notes),
)
