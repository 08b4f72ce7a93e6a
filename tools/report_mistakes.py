"""What to look at first: the worst mistakes of an evaluation, with pictures."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..attributes.joint import JointMetrics
from ..datasets.coco import resolve_image
from ..datasets.errors import InputError
from ..datasets.schema import Attribute
from ..seg.pairing import Pairing
from .decode_ahead import available_cores
from .report_pictures import THUMB_PX, WIDE_PX, outline, thumbnail

TRUTH, FOUND = "#3ddc84", "#ff4f8b"


@dataclass(frozen=True)
class Mistake:
    """One product or detection: rows of the pairing's truth and detections (None: there is none), a sentence, and what
    is wrong: (name, truth, prediction)."""

    photo: int
    truth: int | None
    detection: int | None
    text: str
    wrong: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Mistakes of one kind, worst first; ``total``: how many there are in all."""

    title: str
    explanation: str
    mistakes: list[Mistake]
    total: int


def worst_mistakes(pairing: Pairing, metrics: JointMetrics, *, count: int = 12) -> list[Group]:
    """At most ``count`` of each kind; kinds without any are left out."""
    groups = [
        *_masks(pairing, metrics, count),
        _extra(pairing, metrics, count),
        _category(pairing, metrics, count),
        *(_attribute(pairing, metrics, pairing.schema[name], count) for name in metrics.attributes),
    ]
    return [group for group in groups if group.mistakes]


def _masks(pairing: Pairing, metrics: JointMetrics, count: int) -> Iterator[Group]:
    """Missed products by the little that was found of them, then the poorest of the found ones."""
    found = np.zeros(len(pairing.truth), bool)
    found[metrics.matched[:, 0]] = True
    products = np.flatnonzero(~pairing.truth.crowd)
    order = products[np.argsort(metrics.best_iou[products], kind="stable")]
    kind = "mask" if pairing.masked else "box"
    for title, explanation, rows in (
        ("Missed products", "No detection is theirs; shown is the one that covers them best.", order[~found[order]]),
        (f"Poor {'masks' if pairing.masked else 'boxes'}", f"Found, but the {kind} fits badly.", order[found[order]]),
    ):
        rows = rows[metrics.best_iou[rows] < 0.9] if title.startswith("Poor") else rows
        mistakes = []
        for row in rows[:count]:
            best = int(metrics.best_detection[row])
            text = f"IoU {metrics.best_iou[row]:.2f}" if best >= 0 else "nothing found"
            name = pairing.categories[pairing.truth.category[row]]
            mistakes.append(_mistake(pairing, int(row), best if best >= 0 else None, f"{name}: {text}"))
        yield Group(title, explanation, mistakes, len(rows))


def _extra(pairing: Pairing, metrics: JointMetrics, count: int) -> Group:
    rows = metrics.extra[np.argsort(-pairing.detections.score[metrics.extra], kind="stable")]
    mistakes = [
        _mistake(
            pairing, None, int(row), f"{pairing.detection_categories[row]}, score {pairing.detections.score[row]:.2f}"
        )
        for row in rows[:count]
    ]
    return Group("Extra detections", "Nobody's: no product matches them. Highest score first.", mistakes, len(rows))


def _category(pairing: Pairing, metrics: JointMetrics, count: int) -> Group:
    wrong = []
    for i, j in metrics.matched if metrics.category is not None else ():
        truth, found = pairing.categories[pairing.truth.category[i]], pairing.detection_categories[j]
        if truth != found:
            wrong.append((_probability(pairing, int(j), "category", found), int(i), int(j), truth, found))
    explanation = "Right product, wrong category. The surest first."
    return _wrong_values(pairing, "category", "Wrong category", explanation, wrong, count)


def _attribute(pairing: Pairing, metrics: JointMetrics, attribute: Attribute, count: int) -> Group:
    wrong = []
    for i, j in metrics.matched:
        truth = pairing.truth_attributes[i].get(attribute.name)
        found = pairing.detection_attributes[j].get(attribute.name)
        if truth is None or (attribute.kind != "number" and _same(truth, found)):
            continue
        if attribute.kind == "number":
            if not all(isinstance(one, int | float) for one in (truth, found)) or truth == found:
                continue
            sure = abs(truth - found)
        else:
            first = found[0] if isinstance(found, list) and found else found
            sure = _probability(pairing, int(j), attribute.name, first if isinstance(first, str) else "")
        wrong.append((sure, int(i), int(j), _text(truth, attribute.unit), _text(found, attribute.unit)))
    numeric = attribute.kind == "number"
    order = "The largest error first." if numeric else "The surest first."
    return _wrong_values(pairing, attribute.name, f"Wrong {attribute.name}", order, wrong, count, likely=not numeric)


def _same(truth: Any, found: Any) -> bool:
    """Whether the first values agree: what accuracy counts."""
    first = [
        one[0] if isinstance(one, list) and one else None if isinstance(one, list) else one for one in (truth, found)
    ]
    return first[0] == first[1]


def _wrong_values(
    pairing, name: str, title: str, explanation: str, wrong: list[tuple], count: int, *, likely=True
) -> Group:
    wrong.sort(key=lambda one: (-one[0] if math.isfinite(one[0]) else math.inf, one[1]))
    mistakes = []
    for sure, i, j, truth, found in wrong[:count]:
        probability = f" ({sure:.0%})" if likely and math.isfinite(sure) else ""
        mistakes.append(_mistake(pairing, i, j, "", ((name, truth, found + probability),)))
    return Group(title, explanation, mistakes, len(wrong))


def _probability(pairing: Pairing, row: int, name: str, value: str) -> float:
    """NaN where the predictions say none."""
    one = (pairing.detection_probabilities[row] or {}).get(name) or {}
    p = one.get(value) if isinstance(one, dict) else None
    return float(p) if isinstance(p, int | float) else math.nan


def _text(value: Any, unit: str | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}{f' {unit}' if unit else ''}" if isinstance(value, int | float) else str(value)


def _mistake(pairing: Pairing, truth: int | None, detection: int | None, text: str, wrong=()) -> Mistake:
    photo = pairing.truth.image[truth] if truth is not None else pairing.detections.image[detection]
    return Mistake(int(photo), truth, detection, text, tuple(wrong))


def photo_thumbnails(pairing: Pairing, groups: Sequence[Group], images_dir: Path) -> dict[int, str]:
    """photo -> JPEG data URI, every photo once. Raises InputError for one that is not there."""
    photos = sorted({mistake.photo for group in groups for mistake in group.mistakes})

    def make(photo: int) -> str:
        image = pairing.images[photo]
        uri = thumbnail(resolve_image(images_dir, image.file_name), *thumb_size(pairing, photo))
        if not uri:
            raise InputError(f"{images_dir / image.file_name}: not there, or no photo that can be read.")
        return uri

    with ThreadPoolExecutor(min(8, available_cores()), thread_name_prefix="thumbnail") as pool:
        return dict(zip(photos, pool.map(make, photos), strict=True))


def thumb_size(pairing: Pairing, photo: int) -> tuple[int, int]:
    """(width, height) px; a photo of several products is shown larger."""
    image = pairing.images[photo]
    many = (pairing.truth.image == photo).sum() > 1
    scale = (WIDE_PX if many else THUMB_PX) / max(image.width, image.height)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def mistakes_html(pairing: Pairing, groups: Sequence[Group], thumbnails: dict[int, str]) -> Iterator[str]:
    """The groups as HTML; every photo stands in the page once, however many cards show it."""
    symbols = []
    for photo, uri in thumbnails.items():
        width, height = thumb_size(pairing, photo)
        symbols.append(f'<image id="photo-{photo}" width="{width}" height="{height}" href="{uri}"/>')
    yield f'<svg class="store" aria-hidden="true"><defs>{"".join(symbols)}</defs></svg>\n'
    for group in groups:
        shown = f"{len(group.mistakes)} of {group.total:,}" if group.total > len(group.mistakes) else f"{group.total}"
        yield f"<h3>{escape(group.title)} <span>{shown}</span></h3>\n<p>{escape(group.explanation)}</p>\n"
        yield '<div class="cards">\n'
        for mistake in group.mistakes:
            yield _card(pairing, mistake, mistake.photo in thumbnails)
        yield "</div>\n"


def _card(pairing: Pairing, mistake: Mistake, pictured: bool) -> str:
    width, height = thumb_size(pairing, mistake.photo)
    shapes = []
    for objects, row, css in ((pairing.truth, mistake.truth, "t"), (pairing.detections, mistake.detection, "d")):
        if row is not None:
            path = _shape(pairing, objects, row, width, height)
            shapes.append(f'<path class="rim" d="{path}"/><path class="{css}" d="{path}"/>')
    picture = f'<use href="#photo-{mistake.photo}"/>' if pictured else ""
    name = escape(pairing.images[mistake.photo].file_name)
    wrong = "".join(
        f'<dl><dt>{escape(name_)}</dt><dd class="t">{escape(truth)}</dd><dd class="d">{escape(found)}</dd></dl>'
        for name_, truth, found in mistake.wrong
    )
    text = f"<p>{escape(mistake.text)}</p>" if mistake.text else ""
    svg = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{picture}{"".join(shapes)}</svg>'
    return f'<article>{svg}{text}{wrong}<p class="file" title="{name}">{name}</p></article>\n'


def _shape(pairing: Pairing, objects, row: int, width: int, height: int) -> str:
    if pairing.masked:
        return outline(objects.rle[row], width, height)
    image = pairing.images[objects.image[row]]
    x, y, w, h = objects.xywh[row] * (np.array([width, height] * 2) / np.array([image.width, image.height] * 2))
    return f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}Z"
