"""The same figures for parts of the products: by category, by size, by an attribute, by a key of the photos.

A slice of products has the figures that are means over products (IoU, accuracies). AP needs to know whose the false
positives are: a slice of whole photos has those on its photos, a category those predicted as it, a size what COCO gives
it (APs, APm, APl). A false positive has no true attribute, so slices by attribute have no AP.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import listed
from .ap_bootstrap import average_precision, ranked
from .bootstrap import bootstrap
from .pairing import Pairing

OTHER, NONE = "(other)", "(none)"
SIZES_PX2 = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}


class Measured(Protocol):
    """What ``attributes.joint.joint_metrics`` gives, as far as slices need it: the tables that figures are made of."""

    numbers: dict[str, float]
    parts: Mapping[str, tuple[np.ndarray, Callable[[np.ndarray], dict[str, np.ndarray]]]]
    row_groups: list[Any]
    matched: np.ndarray
    extra: np.ndarray


@dataclass(frozen=True)
class Slice:
    """products: bool (p,), which of the true products (crowd regions left out) belong to it. category: its index, of a
    slice by category. photos: bool (P,), of a slice of whole photos. size: ``small`` ..., of a slice by size."""

    key: str
    name: str
    products: np.ndarray
    category: int | None = None
    photos: np.ndarray | None = None
    size: str | None = None


@dataclass(frozen=True)
class SliceRow:
    """numbers: ``photos`` (that hold its products), ``products``, ``matched``, ``extra`` (detections that are nobody's;
    where that can be said), ``segm/AP`` and ``segm/AP50`` (``bbox/`` where there are only boxes, ``segm-agnostic/``
    where no categories are common) and the figures that are means over products, by the keys they have for all
    (``product/iou``, ``attributes/color/accuracy``); NaN where nothing is known, -1 for AP without truth. intervals:
    95 %, of some of these, by the same keys."""

    key: str
    name: str
    numbers: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def slice_metrics(
    pairing: Pairing,
    metrics: Measured,
    *,
    by: Sequence[str] = ("category", "size"),
    most: int | None = 20,
    resamples: int = 0,
    seed: int = 0,
) -> list[SliceRow]:
    """The figures of every slice by each of ``by`` (``slices_by``), in that order.

    metrics: what ``joint_metrics`` says of the same pairing. resamples: draws for the intervals, 0 for none. Raises
    InputError for a key that nothing has.
    """
    slices = [one for key in by for one in slices_by(pairing, key, most=most)]
    found = [SliceRow(one.key, one.name, _numbers(pairing, metrics, one)) for one in slices]
    for row, values in zip(found, _precisions(pairing, metrics, slices), strict=True):
        row.numbers.update(values)
    for row, one in zip(found, slices, strict=True) if resamples else ():
        row.intervals.update(_intervals(metrics, one, resamples, seed))
    return found


def flat_slices(rows: Sequence[SliceRow]) -> dict[str, float]:
    """``slices/<key>/<name>/<figure>`` and, where there are intervals, ``.../ci95_low`` and ``ci95_high``."""
    found = {}
    for row in rows:
        for figure, value in row.numbers.items():
            found[f"slices/{row.key}/{row.name}/{figure}"] = value
        for figure, (low, high) in row.intervals.items():
            found[f"slices/{row.key}/{row.name}/{figure}/ci95_low"] = low
            found[f"slices/{row.key}/{row.name}/{figure}/ci95_high"] = high
    return found


def slices_by(pairing: Pairing, key: str, *, most: int | None = 20) -> list[Slice]:
    """``category``, ``size`` (COCO's: below 32 x 32 px, below 96 x 96 px, above, by the annotation's area), an
    attribute of the truth's schema (a product with several values is in several slices), or a key of the truth's images
    such as ``source_id``; ``attribute:size`` and ``image:size`` where a name alone would mean something else.

    Most products first (sizes: smallest first). Of attributes and image keys the ``most`` largest slices, the rest
    together as ``(other)``; ``(none)``: those without a value. Raises InputError when nothing has the key.
    """
    products = ~pairing.truth.crowd
    if key == "category":
        own = pairing.truth.category[products]
        found = [Slice(key, name, own == i, category=i) for i, name in enumerate(pairing.categories)]
        return sorted((one for one in found if one.products.any()), key=lambda one: -int(one.products.sum()))
    if key == "size":
        area = pairing.truth.area[products]
        return [Slice(key, n, (low <= area) & (area < high), size=n) for n, (low, high) in SIZES_PX2.items()]
    form, _, name = key.partition(":") if key.startswith(("attribute:", "image:")) else ("", "", key)
    if form != "image" and name in pairing.schema and pairing.schema[name].kind != "number":
        return _by_attribute(pairing, name, most)
    if form != "attribute" and any(name in image.extra for image in pairing.images):
        return _by_photo(pairing, name, most)
    attributes = [one.name for one in pairing.schema if one.kind != "number"]
    keys = sorted({one for image in pairing.images for one in image.extra})
    raise InputError(
        f"no slices by {key!r}: expected category, size, an attribute of the truth ({listed(attributes) or 'none'}) or "
        f"a key of its images ({listed(keys) or 'none'})."
    )


def _by_attribute(pairing: Pairing, name: str, most: int | None) -> list[Slice]:
    rows = np.flatnonzero(~pairing.truth.crowd)
    values = [pairing.truth_attributes[i].get(name) for i in rows]
    sets = [_values(value) for value in values]
    return [Slice(name, value, mask) for value, mask in _largest(sets, most)]


def _values(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    return {one for one in value if isinstance(one, str)} if isinstance(value, list | tuple) else set()


def _by_photo(pairing: Pairing, name: str, most: int | None) -> list[Slice]:
    """Ordered by products, but photos without any count too: their detections are false positives."""
    values = [image.extra.get(name) for image in pairing.images]
    sets = [{str(value)} if isinstance(value, str | int | float) else set() for value in values]
    image = pairing.truth.image[~pairing.truth.crowd]
    weights = np.bincount(image, minlength=len(sets))
    return [Slice(name, value, mask[image], photos=mask) for value, mask in _largest(sets, most, weights)]


def _largest(
    sets: list[set[str]], most: int | None, weights: np.ndarray | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """(value, bool (n,): who has it), largest first; the rest as OTHER, those without any as NONE."""
    index: dict[str, list[int]] = {}
    for i, one in enumerate(sets):
        for value in one:
            index.setdefault(value, []).append(i)
    weights = np.ones(len(sets), np.int64) if weights is None else weights
    order = sorted(index, key=lambda value: (-int(weights[index[value]].sum()), value))
    most = len(order) if most is None else most
    rest = sorted({i for value in order[most:] for i in index[value]})
    empty = [i for i, one in enumerate(sets) if not one]
    for value, rows in [(value, index[value]) for value in order[:most]] + [(OTHER, rest), (NONE, empty)]:
        if rows:
            mask = np.zeros(len(sets), bool)
            mask[rows] = True
            yield value, mask


def _numbers(pairing: Pairing, metrics: Measured, one: Slice) -> dict[str, float]:
    truth = pairing.truth
    rows = np.flatnonzero(~truth.crowd)[one.products]
    found: dict[str, float] = {
        "photos": len(np.unique(truth.image[rows])) if one.photos is None else int(one.photos.sum()),
        "products": len(rows),
        "matched": int(np.isin(metrics.matched[:, 0], rows).sum()),
    }
    if one.photos is not None:
        found["extra"] = int(one.photos[pairing.detections.image[metrics.extra]].sum())
    elif one.category is not None:
        found["extra"] = int((pairing.detections.category[metrics.extra] == one.category).sum())
    for part, (table, statistic) in metrics.parts.items():
        figures = statistic(table[one.products].sum(axis=0))
        found |= {f"{part}/{name}": float(value) for name, value in figures.items()}
    return {key: value for key, value in found.items() if "/" not in key or key in metrics.numbers}


def _precisions(pairing: Pairing, metrics: Measured, slices: list[Slice]) -> Iterator[dict[str, float]]:
    """AP and AP50 of each slice that has them: every photo is matched once for all."""
    kind = "segm" if pairing.masked else "bbox"
    agnostic = f"{kind}/AP" not in metrics.numbers
    prefix = f"{kind}-agnostic" if agnostic else kind
    needed = any(one.photos is not None or (one.category is not None and not agnostic) for one in slices)
    tables = []
    if needed:
        options = {"images": len(pairing.images), "categories": len(pairing.categories), "kind": kind}
        tables = ranked(pairing.truth, pairing.detections, class_agnostic=agnostic, **options)
    every = np.ones((1, len(pairing.images)), np.int64)
    for one in slices:
        if one.size is not None:
            value = metrics.numbers.get(f"{prefix}/AP{one.size[0]}")
            yield {} if value is None else {f"{prefix}/AP": value}
        elif one.photos is not None:
            yield _two(prefix, average_precision(tables, one.photos[None].astype(np.int64))[0])
        elif one.category is not None and not agnostic:
            yield _two(prefix, average_precision(tables[one.category : one.category + 1], every)[0])
        else:
            yield {}


def _two(prefix: str, by_threshold: np.ndarray) -> dict[str, float]:
    """float64 (T,) from IoU .50 on -> AP and AP50; -1 without truth, as COCO has it."""
    mean, at_50 = (-1.0 if np.isnan(value) else float(value) for value in (by_threshold.mean(), by_threshold[0]))
    return {f"{prefix}/AP": mean, f"{prefix}/AP50": at_50}


def _intervals(metrics: Measured, one: Slice, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    groups = [metrics.row_groups[i] for i in np.flatnonzero(one.products)]
    parts = {name: (table[one.products], statistic) for name, (table, statistic) in metrics.parts.items()}
    found = bootstrap(groups, parts, resamples=resamples, seed=seed)
    return {key: pair for key, pair in found.items() if key in metrics.numbers and np.isfinite(pair).all()}
