"""The same figures for parts of the products: by category, by size, by an attribute, by a key of the photos.

A slice of products has the figures that are means over products (IoU, accuracies). AP needs to know whose the false
positives are: a slice of whole photos has those on its photos, a category those predicted as it, a size those that COCO
lays to it (APs, APm, APl). A false positive has no true attribute, so slices by attribute have no AP.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import listed
from .ap_bootstrap import average_precision, pairing_ranked
from .bootstrap import bootstrap
from .coco_eval import CocoParams, CocoResult
from .pairing import Pairing

OTHER, NONE = "(other)", "(none)"
_SHOWN = (("AP50", 0.5), ("AP75", 0.75))


class Measured(Protocol):
    """What ``attributes.joint.joint_metrics`` gives, as far as slices need it: the tables that figures are made of."""

    numbers: dict[str, float]
    coco: Mapping[str, CocoResult]
    parts: Mapping[str, tuple[np.ndarray, Callable[[np.ndarray], dict[str, np.ndarray]]]]
    row_groups: list[Any]
    matched: np.ndarray
    extra: np.ndarray


@dataclass(frozen=True)
class Slice:
    """products: bool (p,), which of the true products (crowd regions left out) belong to it. category: its index, of a
    slice by category. photos: bool (P,), of a slice of whole photos. area: the name of a range of areas, of a slice by size."""

    key: str
    name: str
    products: np.ndarray
    category: int | None = None
    photos: np.ndarray | None = None
    area: str | None = None


@dataclass(frozen=True)
class SliceRow:
    """numbers: ``photos`` (that hold its products), ``products``, ``matched``, ``extra`` (detections that are nobody's;
    where that can be said), ``segm/AP``, ``segm/AP50`` and ``segm/AP75`` (``bbox/`` where there are only boxes,
    ``segm-agnostic/`` where there are no numbers by category; at the parameters of the whole evaluation) and the
    figures that are means over products, by the keys they have for all (``product/iou``,
    ``attributes/color/accuracy``). NaN where nothing is known, -1 for AP without truth. intervals: 95 %, of some of
    these, by the same keys."""

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
    params = next(iter(metrics.coco.values())).params if metrics.coco else CocoParams()
    slices = [one for key in by for one in slices_by(pairing, key, most=most, areas=params.areas)]
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


def slices_by(
    pairing: Pairing, key: str, *, most: int | None = 20, areas: Mapping[str, tuple[float, float]] | None = None
) -> list[Slice]:
    """The slices by one of these.

    ``category``; ``size`` (the annotation's area, in each of ``areas`` but "all", both ends included; by default COCO's
    small, medium and large, which meet at 32 x 32 and 96 x 96 px); an attribute of the truth's schema (a product with
    several values is in several slices); a key of the truth's images such as ``source_id``. ``attribute:size`` and
    ``image:size`` where a name alone would mean something else. Most products first (sizes: as in ``areas``). Of
    attributes and image keys the ``most`` largest slices, the rest together as ``(other)``; ``(none)``: those without a
    value. Raises InputError when nothing has the key.
    """
    products = ~pairing.truth.crowd
    if key == "category":
        own = pairing.truth.category[products]
        found = [Slice(key, name, own == i, category=i) for i, name in enumerate(pairing.categories)]
        return sorted((one for one in found if one.products.any()), key=lambda one: -int(one.products.sum()))
    if key == "size":
        area, areas = pairing.truth.area[products], CocoParams().areas if areas is None else areas
        ranges = [(name, *ends) for name, ends in areas.items() if name != "all"]
        return [Slice(key, name, (low <= area) & (area <= high), area=name) for name, low, high in ranges]
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
    """AP, AP50 and AP75 of each slice that has them. For slices of photos every photo is matched once for all."""
    kind = "segm" if pairing.masked else "bbox"
    prefix = kind if kind in metrics.coco else f"{kind}-agnostic"
    result = metrics.coco.get(prefix)
    tables = []
    if result is not None and any(one.photos is not None for one in slices):
        tables = pairing_ranked(pairing, kind=kind, class_agnostic=prefix != kind, params=result.params)
    for one in slices:
        if result is None:
            values = None
        elif one.photos is not None:
            values = average_precision(tables, one.photos[None].astype(np.int64))[0]
        elif one.area is not None:
            values = _mean_precision(result, slice(None), one.area)
        elif one.category is not None and prefix == kind:
            values = _mean_precision(result, slice(one.category, one.category + 1), "all")
        else:
            values = None
        yield {} if values is None else _named(prefix, values, result.params)


def _mean_precision(result: CocoResult, categories: slice, area: str) -> np.ndarray:
    """AP at every IoU, float64 (T,): the mean over the categories with truth of that area, NaN without any."""
    precision = result.precision[:, :, categories, list(result.params.areas).index(area), -1]
    precision = precision[:, :, (precision > -1).all(axis=(0, 1))]
    return precision.mean(axis=(1, 2)) if precision.shape[2] else np.full(len(precision), np.nan)


def _named(prefix: str, by_iou: np.ndarray, params: CocoParams) -> dict[str, float]:
    """-1 without truth, as COCO has it."""
    found = {"AP": by_iou.mean()}
    for key, iou_thr in _SHOWN:
        at = np.flatnonzero(np.isclose(params.iou_thrs, iou_thr))
        found |= {key: by_iou[at[0]]} if len(at) else {}
    return {f"{prefix}/{key}": -1.0 if np.isnan(value) else float(value) for key, value in found.items()}


def _intervals(metrics: Measured, one: Slice, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    groups = [metrics.row_groups[i] for i in np.flatnonzero(one.products)]
    parts = {name: (table[one.products], statistic) for name, (table, statistic) in metrics.parts.items()}
    found = bootstrap(groups, parts, resamples=resamples, seed=seed)
    return {key: pair for key, pair in found.items() if key in metrics.numbers and np.isfinite(pair).all()}
